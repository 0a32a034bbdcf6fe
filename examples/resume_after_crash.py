"""A long task whose server is killed on the way, and started again: it goes on from what it had saved.

python examples/resume_after_crash.py                                               all of it
asap serve resume_after_crash:agent --app-dir examples --state tasks.db             the agent alone

The tasks are in an SQLite file. The first server dies by SIGKILL, so it can neither finish nor tidy up anything.
The second one takes the task over once the lease of the first is over, here after a second.
A step that was done and not saved yet when the server died is done again: that is why each one is saved.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from asap_adapters import sync
from asap_adapters.asyncio import Agent
from asap_proto import Limits

STEPS = 8

agent = Agent("urn:asap:agent:patient", limits=Limits(lease_seconds=1.0, beat_seconds=0.2))


@agent.skill("work", description="Do one step after the other")
async def work(task):
    known = await task.load() or {"runs": []}  # for each step that is done, which run of the handler did it
    for step in range(len(known["runs"]), STEPS):
        await asyncio.sleep(0.25)
        known["runs"].append(task.runs)
        await task.save(known)
        await task.progress(100 * (step + 1) / STEPS)
    return known


@contextmanager
def server(state):
    """`asap serve` in a process of its own, on a free port."""
    here = Path(__file__)
    command = [sys.executable, "-m", "asap_adapters.cli", "serve", f"{here.stem}:agent", "--app-dir", str(here.parent)]
    options = ["--state", str(state), "--port", "0", "--log-level", "error", "--json"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE) as process:  # nosec B603  # our own words
        try:
            yield process, json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def main():
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder, "tasks.db")

        with server(state) as (process, url), sync.Client(url, me="urn:asap:agent:caller") as client:
            task_id = client.submit("work", {}, idempotency_key="the one").task_id
            print("submitted")
            while (snapshot := client.state(task_id).snapshot) is None or snapshot.version < 3:
                time.sleep(0.02)
            process.kill()
            print(f"the server is killed; {snapshot.version} of {STEPS} steps were saved")

        with server(state) as (_, url), sync.Client(url, me="urn:asap:agent:caller") as client:
            again = client.submit("work", {}, idempotency_key="the one")
            print("asked again with the same key, it is the same task:", again.task_id == task_id)
            found = client.wait(task_id, every=0.05)
            for run in sorted(set(found.result["runs"])):
                done = [step for step, by in enumerate(found.result["runs"], start=1) if by == run]
                print(f"run {run} did steps {done[0]} to {done[-1]}")
            print(found.status)


if __name__ == "__main__":
    main()
