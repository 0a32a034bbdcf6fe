"""Serves the echo agent, and lets locust ask it without a window; exit code 1 if a request fails."""

import subprocess
import sys
from pathlib import Path

from asap_adapters.bench import servers

OPTIONS = ["--headless", "--users=20", "--spawn-rate=100", "--run-time=10s", "--exit-code-on-error=1"]


def main(arguments: list[str]) -> int:
    """The exit code of locust, whose own options come last, so that they win."""
    with servers.ours("asyncio:agent") as server:
        command = [sys.executable, "-m", "locust", "-f", str(Path(__file__).with_name("locustfile.py"))]
        return subprocess.run([*command, f"--host={server.url}", *OPTIONS, *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
