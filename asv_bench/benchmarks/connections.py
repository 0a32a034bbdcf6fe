"""A client's connections without their sockets: the bytes of an exchange, and who has which connection."""

from asap_adapters._shared.http1.answers import AnswerReader
from asap_adapters._shared.http1.h11_parser import H11Parser
from asap_adapters._shared.http1.httptools_parser import HttptoolsParser
from asap_adapters._shared.http1.place import Place
from asap_adapters._shared.http1.pool import Pool
from asap_proto import Limits
from asap_proto.http import HttpRequest

REQUEST = HttpRequest("POST", "/asap", {"content-type": "application/json", "asap-version": "2.2, 2.1"}, bytes(742))
HEAD = b"HTTP/1.1 200 OK\r\ndate: Fri, 27 Nov 2026 01:08:51 GMT\r\ncontent-type: application/json\r\n"
ANSWER = HEAD + b"content-length: 742\r\n\r\n" + bytes(742)


class Bytes:
    """A request as it is sent, an answer as it is read, its head by either parser."""

    def setup(self):
        self.place, self.limits = Place("http://127.0.0.1:8000"), Limits()

    def time_write(self):
        self.place.head_of(REQUEST)

    def time_read(self):
        AnswerReader(REQUEST, self.limits).feed(ANSWER)

    def time_head_by_httptools(self):
        HttptoolsParser().parse_head(HEAD + b"\r\n")

    def time_head_by_h11(self):
        H11Parser().parse_head(HEAD + b"\r\n")


class Handing:
    """A connection that is handed on, by how many wait for one: it should cost the same."""

    params = (1, 100, 10_000)
    param_names = ("waiting",)

    def setup(self, waiting):
        self.pool = Pool(Limits(pool_maxsize=1))
        self.pool.claim()
        self.pool.opened("connection")
        for number in range(waiting):
            self.pool.wait(number, 0.0)

    def time_hand_on(self, waiting):
        waiter = self.pool.give("connection", 1.0)
        self.pool.wait(waiter, 1.0)
