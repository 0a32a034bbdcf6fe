"""Bytes to nouns and back, as multiples of orjson alone."""

import statistics

import orjson

from asap_adapters.bench import fixtures
from asap_adapters.bench.measure import in_turn

from . import QUICK

ROUNDS = 1 if QUICK else 5


def ratio(baseline, ours, items):
    """How many times the baseline ours takes: the median of some rounds."""
    found = []
    for _ in range(ROUNDS):
        took = in_turn({"baseline": baseline, "ours": ours}, items)
        found.append(took["ours"] / took["baseline"])
    return statistics.median(found)


class Request:
    """The common task request of 742 bytes, by the shape of its input."""

    params = tuple(fixtures.SHAPES)
    param_names = ("shape",)
    unit = "x orjson"

    def setup(self, shape):
        self.bodies = fixtures.requests(300, shape=shape)
        replies = [fixtures.response(fixtures.decode_request(body)) for body in self.bodies]
        self.replies = [(reply, orjson.loads(fixtures.encode_response(reply))) for reply in replies]

    def time_decode(self, shape):
        for body in self.bodies:
            fixtures.decode_request(body)

    def time_encode(self, shape):
        for reply, _ in self.replies:
            fixtures.encode_response(reply)

    def track_decode(self, shape):
        return ratio(orjson.loads, fixtures.decode_request, self.bodies)

    def track_encode(self, shape):
        return ratio(lambda both: orjson.dumps(both[1]), lambda both: fixtures.encode_response(both[0]), self.replies)

    track_decode.unit = track_encode.unit = unit


class FreeForm:
    """A task request whose input is one large object: its inside is not looked at."""

    params = (20_000, 1_000_000)
    param_names = ("bytes",)

    def setup(self, size):
        self.body = fixtures.free_form(size)

    def track_decode(self, size):
        return ratio(orjson.loads, fixtures.decode_request, [self.body] * max(3, 2_000_000 // size))

    def time_decode(self, size):
        fixtures.decode_request(self.body)

    def peakmem_decode(self, size):
        fixtures.decode_request(self.body)

    track_decode.unit = Request.unit


class Parts:
    """Arrays of typed parts: each is read and checked."""

    params = (20_000, 1_000_000)
    param_names = ("bytes",)

    def setup(self, size):
        text = fixtures.parts(size)
        typed = fixtures.decode_parts(text)
        self.texts = [text] * max(3, 2_000_000 // size)
        self.typed = [(typed, orjson.loads(text))] * len(self.texts)

    def time_decode(self, size):
        fixtures.decode_parts(self.texts[0])

    def time_encode(self, size):
        fixtures.encode_parts(self.typed[0][0])

    def peakmem_decode(self, size):
        fixtures.decode_parts(self.texts[0])

    def track_decode(self, size):
        return ratio(orjson.loads, fixtures.decode_parts, self.texts)

    def track_encode(self, size):
        return ratio(lambda both: orjson.dumps(both[1]), lambda both: fixtures.encode_parts(both[0]), self.typed)

    track_decode.unit = track_encode.unit = Request.unit
