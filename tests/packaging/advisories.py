"""Known flaws of what `pip install --report` would install: the answer of `pip-audit`, checked for being one.

PyPI tells the flaws of each release at an address of its own, and those of a project's newest release at the project's.
`pip-audit` asks at the first alone; where nothing is found there it still ends well, and so calls clean what nobody was
asked about. A mirror may well have nothing there. Then the newest releases, at least, are asked about at the second.
What is left is written into a file, a line for each release.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen


class Newest(NamedTuple):
    """A project's newest release, and its flaws."""

    version: str
    flaws: tuple[str, ...]


class Verdict(NamedTuple):
    """What has to be looked into, and what nobody could be asked about: a line for each release."""

    wrong: tuple[str, ...]
    untold: tuple[str, ...]


def releases_of(report: Mapping[str, Any]) -> dict[str, str]:
    """Names and versions in a report of pip, but for what comes from a folder: that is ourselves."""
    found = (each["metadata"] for each in report["install"] if "dir_info" not in each["download_info"])
    return {plain(each["name"]): each["version"] for each in found}


def newest_of(page: Mapping[str, Any]) -> Newest:
    """What a project's page says; what was withdrawn is no flaw."""
    found = (flaw["id"] for flaw in page["vulnerabilities"] if not flaw["withdrawn"])
    return Newest(page["info"]["version"], tuple(found))


def is_answer(told: Sequence[Mapping[str, Any]]) -> bool:
    """Whether `pip-audit` found any of the releases it asked about: if not, it asked nobody who knows."""
    return any("vulns" in each for each in told)


def judge(
    releases: Mapping[str, str], told: Sequence[Mapping[str, Any]], newest: Callable[[str], Newest | None]
) -> Verdict:
    """What is known of these releases: by what `pip-audit` told, or by projects' pages where that is no answer."""
    wrong, untold = [], []
    flaws_of = {plain(each["name"]): [flaw["id"] for flaw in each["vulns"]] for each in told if "vulns" in each}
    for name, version in releases.items():
        if is_answer(told):
            flaws = flaws_of.get(name, ["the index knows no such release"])
        elif (page := newest(name)) is None:
            untold.append(f"{name} {version}: nobody could be asked")
            continue
        elif page.version != version:
            untold.append(f"{name} {version}: only its newest, {page.version}, could be asked about")
            continue
        else:
            flaws = [*page.flaws]
        if flaws:
            wrong.append(f"{name} {version}: {', '.join(flaws)}")
    return Verdict(tuple(wrong), tuple(untold))


def plain(name: str) -> str:
    """A project's name as all spell it alike."""
    return re.sub(r"[-_.]+", "-", name).lower()


def ask(releases: Mapping[str, str]) -> list[Mapping[str, Any]]:
    """What `pip-audit` tells of these releases; nothing where it could reach nobody."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "requirements.txt")
        wanted.write_text("".join(f"{name}=={version}\n" for name, version in releases.items()))
        options = ["--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json", f"--requirement={wanted}"]
        done = subprocess.run([sys.executable, "-m", "pip_audit", *options], capture_output=True, text=True)
    if done.stdout:
        return json.loads(done.stdout)["dependencies"]
    print(*done.stderr.splitlines()[-1:])
    return []


def look_up(name: str) -> Newest | None:
    """The newest release, as the project's page has it."""
    try:
        with urlopen(f"https://pypi.org/pypi/{name}/json", timeout=30) as answer:
            return newest_of(json.load(answer))
    except (OSError, ValueError):
        return None


def main(report: str, left: str) -> int:
    """Prints what was found and how many releases were asked about, and writes what is `left`."""
    releases = releases_of(json.loads(Path(report).read_text()))
    told = ask(releases)
    pages: dict[str, Newest | None] = {}
    if not is_answer(told):
        with ThreadPoolExecutor(4) as pool:
            pages = dict(zip(releases, pool.map(look_up, releases), strict=True))
    verdict = judge(releases, told, pages.get)
    Path(left).write_text("\n".join(verdict.untold))
    print(*(f"{line}\n" for line in verdict.wrong), sep="", end="")
    print(f"asked about {len(releases) - len(verdict.untold)} of {len(releases)} releases,", end=" ")
    print("by pip-audit" if is_answer(told) else "by the pages of their projects: pip-audit was told nothing")
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
