"""Skills may be registered by any thread, at any time: what is served is all of one moment."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx

from asap_adapters._shared.agents import Served
from asap_adapters.sync import Agent, serving
from asap_proto import Misuse
from asap_proto.model import TaskRequest

from .test_cancelling import WORKER, frame

MANY = 200


def test_what_is_served_is_of_one_moment():
    """Whatever other threads register meanwhile, what the manifest names has a handler, and nothing else has."""
    agent = Agent(WORKER)
    done = threading.Event()

    def register(first):
        for number in range(first, MANY, 4):
            agent.skill(f"skill-{number}", restartable=True, quota="5/minute")(lambda task: {})

    def look():
        seen = 0
        while not done.is_set():
            served = Served.of(agent)
            named = {skill.id for skill in served.role._manifest.capabilities.skills}
            assert {name for kind, name in served.handlers if kind is TaskRequest} == named
            assert served.role._work._restartable == served.role._metered == named == served.stores.quotas.keys()
            assert len(named) >= seen
            seen = len(named)
        return seen

    with ThreadPoolExecutor(8) as threads:
        looks = [threads.submit(look) for _ in range(4)]
        registered = [threads.submit(register, first) for first in range(4)]
        for one in registered:
            one.result(30)
        done.set()
        assert all(one.result(30) <= MANY for one in looks)
    assert len(agent.manifest().capabilities.skills) == MANY


def test_a_name_is_given_once():
    """Of threads that register the same name at once one has it, and the others are told."""
    agent = Agent(WORKER)
    together = threading.Barrier(8)

    def register(number):
        together.wait(10)
        try:
            agent.skill("only", description=str(number))(lambda task: {"number": number})
        except Misuse:
            return None
        return number

    with ThreadPoolExecutor(8) as threads:
        [winner] = [number for number in threads.map(register, range(8)) if number is not None]
    [skill] = agent.manifest().capabilities.skills
    assert skill.description == str(winner)
    assert Served.of(agent).stores.quotas == {}


def test_an_app_that_is_served_keeps_the_skills_it_was_made_with():
    """Requests go on while skills are registered; the next app has them."""
    agent = Agent(WORKER)
    agent.skill("echo")(lambda task: task.input)

    def register():
        for number in range(MANY):
            agent.skill(f"skill-{number}")(lambda task: {})

    with serving(agent.app(), threads=4) as url, ThreadPoolExecutor(4) as threads, httpx.Client(base_url=url) as http:
        registered = threads.submit(register)

        def answer(number):
            response = http.post("/asap", json=frame("echo" if number % 2 else "skill-0"))
            return "result" in response.json()

        answers = list(threads.map(answer, range(100)))
        registered.result(30)
        assert answers == [False, True] * 50
        assert len(http.get("/.well-known/asap/manifest.json").json()["capabilities"]["skills"]) == 1
    assert (TaskRequest, "skill-0") in Served.of(agent).handlers
