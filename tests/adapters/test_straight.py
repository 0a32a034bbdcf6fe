"""An app whose store answers at once, and goes straight on, answers as one that tells stories: batches too."""

import re

import httpx
from anyio.lowlevel import checkpoint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asap_proto.errors import InvalidInput
from asap_proto.stores import MemoryState

ME, WORKER = "urn:asap:agent:me", "urn:asap:agent:worker"

_drawn = re.compile(rb"[0-7][0-9A-HJKMNP-TV-Z]{25}|\d{4}-\d\d-\d\dT[0-9:.]+Z")


class Behind:
    """A store in memory that an app does not know to be one."""

    def __init__(self):
        self._state = MemoryState()

    def __getattr__(self, name):
        return getattr(self._state, name)


async def echo(task):
    return task.input


async def wait(task):
    await checkpoint()
    return task.input


async def tell(task):
    await task.progress(50)
    return task.input


async def ask(task):
    return await task.need_input("what?")


async def refuse(task):
    raise InvalidInput("no")


async def fail(task):
    raise SystemExit


async def no_json(task):
    return {"set": {1}}


SKILLS = (echo, wait, tell, ask, refuse, fail, no_json)


def app_of(runtime, store):
    agent = runtime.front.Agent(WORKER, store=store)
    for skill in SKILLS:
        agent.skill(skill.__name__)(skill)
    return agent.app()


@st.composite
def frames(draw, place=0):
    envelope = {
        "asap_version": "0.1",
        "id": draw(st.sampled_from(["one", "two"])),
        "sender": ME,
        "recipient": WORKER,
        "payload_type": "task.request",
        "payload": {
            "conversation_id": "c",
            "skill_id": draw(st.sampled_from([*(skill.__name__ for skill in SKILLS), "unknown"])),
            "input": {"n": draw(st.integers(0, 1))},
        },
        "extensions": draw(st.none() | st.just({"nonce": f"nonce {place}"})),
    }
    params = {"envelope": envelope, "idempotency_key": draw(st.none() | st.just(f"key {place}"))}
    frame = {"jsonrpc": "2.0", "method": "asap.send", "params": params}
    return frame | draw(st.sampled_from([{"id": 1}, {"id": "a"}, {}, {"id": []}, {"method": "other", "id": 1}]))


@st.composite
def batches(draw):
    """What has one key at the same time is answered by who is first, which is chance: each place has its own."""
    return [draw(frames(place)) for place in range(draw(st.integers(1, 12)))]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(frames() | batches(), min_size=1, max_size=4))
def test_an_app_answers_alike_whether_its_store_answers_at_once_or_not(runtime, documents):
    """The same answers, but for what is drawn anew, the same numbers counted, and the same tasks left."""

    async def main():
        stores = MemoryState(), Behind()
        told = []
        for store in stores:
            transport = httpx.ASGITransport(app_of(runtime, store), raise_app_exceptions=True)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                answers = [await http.post("/asap", json=document) for document in documents]
                metrics = (await http.get("/asap/metrics")).text.splitlines()
            told.append(
                (
                    [(each.status_code, _drawn.sub(b"", each.content)) for each in answers],
                    sorted(line for line in metrics if "seconds" not in line),
                    sorted(repr((task.status, task.version, task.runs, task.job.slot)) for task in store.tasks()),
                )
            )
        assert told[0] == told[1]

    runtime.run(main)
