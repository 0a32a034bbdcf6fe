"""Play a client of the reference: run by an interpreter that has it, which knows nothing of ours.

Each line on stdin, `{"url": ..., "seconds": ..., "in_flight": ...}`, is answered by one on stdout.
"""

import asyncio
import json
import logging
import os
import sys
from collections import Counter
from time import perf_counter
from typing import Any


async def ask(url: str, seconds: float, in_flight: int) -> dict[str, Any]:
    """Sends envelopes, so many at once, for so long."""
    from asap.models.envelope import Envelope  # type: ignore[import-not-found]
    from asap.models.payloads import TaskRequest  # type: ignore[import-not-found]
    from asap.transport.client import ASAPClient  # type: ignore[import-not-found]

    answers, failures = 0, Counter[str]()

    async def call() -> None:
        nonlocal answers
        while perf_counter() < until:
            request = TaskRequest(conversation_id="conversation", skill_id="echo", input={"message": "hello there"})
            envelope = Envelope(
                asap_version="0.1",
                sender="urn:asap:agent:coordinator",
                recipient="urn:asap:agent:echo",
                payload_type="task.request",
                payload=request.model_dump(),
            )
            try:
                await client.send(envelope)
            except Exception as error:  # noqa: BLE001  (whatever it is, it is no answer)
                failures[f"{type(error).__name__}: {str(error)[:80]}"] += 1
            else:
                answers += 1

    async with ASAPClient(url, require_https=False, max_retries=1, pool_maxsize=in_flight) as client:
        await client.send(
            Envelope(
                asap_version="0.1",
                sender="urn:asap:agent:coordinator",
                recipient="urn:asap:agent:echo",
                payload_type="task.request",
                payload=TaskRequest(conversation_id="first", skill_id="echo", input={}).model_dump(),
            )
        )
        begin = perf_counter()
        until = begin + seconds
        await asyncio.gather(*(call() for _ in range(in_flight)))
        took = perf_counter() - begin
    return {"answers": answers, "rate": answers / took, "failures": failures}


def main() -> None:
    """Answers lines until there are no more."""
    said = os.dup(1)
    os.dup2(2, 1)  # it logs to stdout
    os.environ["ASAP_RATE_LIMIT"] = "1000000000/second"
    logging.disable(logging.WARNING)
    for line in sys.stdin:
        os.write(said, json.dumps(asyncio.run(ask(**json.loads(line)))).encode() + b"\n")


if __name__ == "__main__":
    main()
