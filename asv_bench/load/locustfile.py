"""The common request by locust, for those who prefer it to `asap bench`.

`nox -s locust` serves an echo agent, and asks it for a while. Any other agent with a skill ``echo`` is asked by
`locust -f asv_bench/load/locustfile.py --host http://127.0.0.1:8000`.
"""

from locust import FastHttpUser, constant, task

from asap_adapters.bench import fixtures

HEADERS = {"content-type": "application/json", "accept": "application/json", "asap-version": "2.2, 2.1"}


class Caller(FastHttpUser):
    """Asks again as soon as it is answered, each time with an id, a nonce and a key of its own."""

    wait_time = constant(0)

    @task
    def echo(self) -> None:
        """One task request; an error that is told with status 200 is a failure too."""
        [body] = fixtures.requests(1)
        with self.client.post("/asap", data=body, headers=HEADERS, catch_response=True) as response:
            if response.status_code == 200 and '"result"' not in response.text:
                response.failure(response.text[:200])
