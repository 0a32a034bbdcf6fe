"""What the tests of this folder share: requests whose body nobody has read, and who they come from."""

from asap_proto.http import RequestHead
from asap_proto.rules.identity import Identity

URN = "urn:asap:agent:ali"
ALI = Identity(URN)


def head(path="/asap", method="POST", **headers):
    return RequestHead(method, path, {name.replace("_", "-"): value for name, value in headers.items()}, "192.0.2.1")
