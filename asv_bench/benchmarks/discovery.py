"""What it costs to know a peer: a look-up of what is held, however many peers there are."""

from time import perf_counter

from asap_adapters._shared.manifests import ManifestCache
from asap_proto.model import Capabilities, Endpoints, Manifest
from asap_proto.rules.caching import Lifetime
from asap_proto.stores import KeptManifest

LOOK_UPS = 10_000


class LookUp:
    """A fresh manifest among so many: seconds for each look-up."""

    params = (1, 10, 1000)
    param_names = ("peers",)
    unit = "seconds"

    def setup(self, peers):
        self.manifests = ManifestCache()
        manifest = Manifest("urn:asap:agent:echo", "Echo", "1.0.0", "Repeats", Capabilities(), Endpoints("/asap"))
        now = perf_counter()
        for number in range(peers):
            held = KeptManifest(manifest, b"", None, Lifetime(), now)
            self.manifests.keep(f"https://{number}.example", held, instead_of=())
        self.keys = [(f"https://{number % peers}.example",) for number in range(LOOK_UPS)]
        self.now = now

    def track_look_up(self, peers):
        look, now = self.manifests.look, self.now
        start = perf_counter()
        for keys in self.keys:
            look(keys, now)
        return (perf_counter() - start) / LOOK_UPS
