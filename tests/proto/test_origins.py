"""Whom a request was meant for, and which page sent it."""

import pytest

from asap_proto.errors import BadHead, ForeignOrigin, Misdirected, Misuse
from asap_proto.rules.origins import LOOPBACK_HOSTS, check_host, check_origin, is_json, names_of

HOSTS = names_of([*LOOPBACK_HOSTS, "Agents.Example.ORG.", "192.0.2.1:8000", "2001:db8::1", "::f"])


def code_of(check, value):
    try:
        check(value, hosts=HOSTS)
    except (BadHead, ForeignOrigin, Misdirected) as error:
        return error.kind.http_status
    return None


def test_names_are_kept_as_they_are_compared():
    """In lower case, without port or final dot, an IPv6 address in its brackets."""
    assert HOSTS == {"localhost", "127.0.0.1", "[::1]", "agents.example.org", "192.0.2.1", "[2001:db8::1]", "[::f]"}


@pytest.mark.parametrize("name", ["", "a b", "http://a", "a/b", "a@b", "é", "a:70000", "[::1"])
def test_names_that_are_none(name):
    """What is no host is told when the agent is made."""
    with pytest.raises(Misuse, match="is no host"):
        names_of(["localhost", name])


@pytest.mark.proves("http.host")
@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", None),
        ("LOCALHOST:1", None),
        ("localhost.:8000", None),
        ("localhost:65535", None),
        ("localhost:65536", 400),
        ("127.0.0.1:", None),
        ("[::1]:8000", None),
        ("agents.example.org:443", None),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("evil-localhost", 421),
        ("127.0.0.2", 421),
        ("2130706433", 421),
        ("0.0.0.0", 421),
        ("[::2]", 421),
        (None, 400),
        ("", 400),
        ("localhost, evil.example", 400),
        ("localhost evil.example", 400),
        ("localhost@evil.example", 400),
        ("evil.example@localhost", 400),
        ("localhost:x", 400),
        ("localhost:99999", 400),
        ("::1", 400),
        ("localhost\n", 400),
    ],
)
def test_hosts(host, status):
    """A name of ours with any port; 421 for another, 400 for what names none or several."""
    assert code_of(check_host, host) == status


@pytest.mark.proves("http.host")
@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:3000", None),
        ("https://agents.example.org", None),
        ("HTTP://[::1]", None),
        ("http://evil.example", 403),
        ("http://localhost.evil.example", 403),
        ("http://evil.example/localhost", 403),
        ("http://localhost/", 403),
        ("http://evil.example@localhost", 403),
        ("http://localhost#x", 403),
        ("http://localhost, http://localhost", 403),
        ("http://localhost:99999", 403),
        ("ftp://localhost", 403),
        ("file://", 403),
        ("localhost", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_pages(origin, status):
    """A page of a name of ours, on any port; what is opaque or no origin is foreign."""
    assert code_of(check_origin, origin) == status


def test_who_names_another_host_is_told_so():
    """That a host is wanted, or that it is another's; and not which are ours."""
    with pytest.raises(BadHead, match="Host"):
        check_host(None, hosts=HOSTS)
    with pytest.raises(Misdirected, match="name") as caught:
        check_host("evil.example", hosts=HOSTS)
    assert "example" not in caught.value.message


def test_a_foreign_page_is_not_told_which_are_ours():
    """What it is told is that it may not ask, and neither its own origin nor our names."""
    with pytest.raises(ForeignOrigin) as caught:
        check_origin("http://evil.example", hosts=HOSTS)
    assert "origin" in caught.value.message
    assert "example" not in caught.value.message


@pytest.mark.proves("http.content-type")
@pytest.mark.parametrize(
    ("value", "json"),
    [
        ("application/json", True),
        ("APPLICATION/JSON ; charset=utf-8", True),
        ("application/vnd.asap+json", True),
        ("", False),
        ("text/plain", False),
        ("text/json", False),
        ("application/jsonx", False),
        ("application/jsonX", False),
        ("application/x-www-form-urlencoded", False),
        ("text/plain; a=application/json", False),
        ("text/plain, application/json", False),
        ("application/json\n", False),
    ],
)
def test_types(value, json):
    """JSON and what is JSON by its suffix, with any parameters."""
    assert is_json(value) == json
