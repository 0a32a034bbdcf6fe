"""Bodies made smaller, and large again within bounds."""

import zlib

import brotli

from asap_adapters._shared.deflate import deflate
from asap_adapters._shared.inflate import ENCODINGS, inflater
from asap_adapters.bench import compression
from asap_proto import Limits
from asap_proto.wire.body import BodyGauge

SIZES = (10_000, 100_000, 1_000_000)


class Inflate:
    """What came compressed, counted while it grows."""

    params = (("gzip", "br"), SIZES[::2])
    param_names = ("encoding", "bytes")

    def setup(self, encoding, size):
        self.limit = Limits().reply_bytes
        plain = compression.envelopes(1, size=size)[0]
        self.body = zlib.compress(plain, 1, wbits=31) if encoding == "gzip" else brotli.compress(plain, quality=1)

    def time_inflate(self, encoding, size):
        self.inflate(encoding)

    def peakmem_inflate(self, encoding, size):
        self.inflate(encoding)

    def inflate(self, encoding):
        body = inflater(encoding, BodyGauge(self.limit, what="reply"))
        body.feed(self.body)
        body.finish()


class Deflate:
    """What is to go out."""

    params = (tuple(name for name in ("zstd", "br", "gzip") if name in ENCODINGS), SIZES)
    param_names = ("encoding", "bytes")

    def setup(self, encoding, size):
        self.body = compression.envelopes(1, size=size)[0]

    def time_deflate(self, encoding, size):
        deflate(self.body, encoding)

    def track_smaller(self, encoding, size):
        return 100 * (1 - len(deflate(self.body, encoding)) / len(self.body))

    track_smaller.unit = "%"
