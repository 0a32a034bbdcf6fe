"""Who meets whom in the live tests, and which test holds each meeting to what.

One table: the page on interoperating prints it, and `test_matrix` fails where a cell has no test.
"""

from collections.abc import Mapping
from typing import NamedTuple

FRONTS = ("asyncio", "trio", "sync")
RELEASES = ("0.1.0", "0.3.0", "0.5.0", "1.0.0", "newest")


class Pair(NamedTuple):
    """A client and a server, each one of our fronts or a release."""

    client: str
    server: str

    @property
    def kind(self) -> str:
        return "theirs" if self.client in RELEASES else "ours" if self.server in RELEASES else "among"


KINDS: Mapping[str, tuple[Pair, ...]] = {
    "theirs": tuple(Pair(release, front) for release in RELEASES for front in FRONTS),
    "ours": tuple(Pair(front, release) for front in FRONTS for release in RELEASES),
    "among": tuple(Pair(client, server) for client in FRONTS for server in FRONTS),
}
PAIRS = tuple(pair for pairs in KINDS.values() for pair in pairs)


class Row(NamedTuple):
    """A scenario, the test of each kind of pair, and what releases lack: their cells hold them to that."""

    theirs: str
    ours: str
    among: str
    lacks: str = ""


def _live(name: str, among: str, lacks: str = "") -> Row:
    return Row(f"test_their_client_{name}", f"test_our_client_{name}", among, lacks)


def _all(test: str, lacks: str = "") -> Row:
    return Row(test, test, test, lacks)


MATRIX: Mapping[str, Row] = {
    "a request: empty, nested, Unicode, large, old but valid": _live("is_answered", "test_a_request_is_answered"),
    "the error answers of the protocol": _live(
        "is_refused", "test_a_request_is_refused", "0.1.0 and 0.3.0 look at no timestamp"
    ),
    "a handler that fails": _live("hears_of_a_failed_handler", "test_a_failed_handler_is_told"),
    "every payload type": _all(
        "test_every_payload_is_answered", "released servers have a handler for `task.request` alone"
    ),
    "the manifest": Row(
        "test_their_client_reads_our_manifest",
        "test_our_client_reads_their_manifest",
        "test_the_manifest_is_read",
        "clients before 1.0 have no look-up",
    ),
    "many at once": _live(
        "sends_many", "test_many_are_sent", "only clients of the newest send many, servers before 2.2 take no arrays"
    ),
    "a stream": Row(
        "test_their_client_follows_a_stream",
        "test_our_client_follows_their_stream",
        "test_a_stream_is_followed",
        "there are streams since 2.2",
    ),
    "a lost answer, and the retry with the same key": _all(
        "test_a_lost_answer_is_asked_for_again",
        "released clients do not ask again when a connection breaks, released servers run it again",
    ),
    "a nonce that comes twice": Row(
        "test_their_nonce_counts_once",
        "test_our_nonce_counts_once",
        "test_a_nonce_counts_once",
        "0.1.0 and 0.3.0 look at no nonce",
    ),
    "bearer tokens: right, wrong, none": _live("shows_a_token", "test_a_token_is_shown"),
    "compressed requests": Row(
        "",
        "test_our_client_compresses",
        "test_a_request_is_compressed",
        "released clients compress nothing unless told to, and then as ours do; servers before 1.0 refuse it",
    ),
    "compressed answers": Row(
        "test_their_client_is_answered_compressed",
        "",
        "test_an_answer_is_compressed",
        "released servers compress no answer",
    ),
    "a body just below the limit, and one above": _all("test_a_body_at_the_limit", "0.1.0 has no limit to be told"),
    "one connection for several requests, and the version": _all(
        "test_one_connection_serves_and_tells_the_version", "versions are negotiated since 2.2"
    ),
    "a client that waits as it was told": Row(
        "test_their_client_waits_as_told",
        "",
        "",
        "clients before 0.5 do not ask again; how ours wait is tested without a network",
    ),
    "a quota that is spent": _live("is_slowed", "test_a_quota_is_spent", "0.1.0 has no quota"),
}
