"""Where a peer is, and a request to it as bytes."""

import pytest

from asap_adapters._shared.http1.place import Place
from asap_proto import Misuse
from asap_proto.http import HttpRequest


def lines(url="http://agents.example", target="/asap", body=b"", method="POST", **headers):
    """The lines of a request's head."""
    head = Place(url).head_of(HttpRequest(method, target, headers, body)).decode("latin-1")
    assert head.endswith("\r\n\r\n")
    return head[:-4].split("\r\n")


@pytest.mark.parametrize(
    ("url", "first", "host"),
    [
        ("http://agents.example", "POST /asap HTTP/1.1", "agents.example"),
        ("http://agents.example:80/", "POST /asap HTTP/1.1", "agents.example"),
        ("https://agents.example:443", "POST /asap HTTP/1.1", "agents.example"),
        ("https://Agents.Example:8443/some/where", "POST /some/where/asap HTTP/1.1", "agents.example:8443"),
        ("http://user:secret@agents.example", "POST /asap HTTP/1.1", "agents.example"),
        ("http://[::1]:8000", "POST /asap HTTP/1.1", "[::1]:8000"),
        ("http://agents.example/a b/é", "POST /a%20b/%C3%A9/asap HTTP/1.1", "agents.example"),
        ("http://agents.example/a%20b", "POST /a%20b/asap HTTP/1.1", "agents.example"),
    ],
)
def test_the_first_two_lines(url, first, host):
    """The path of the base URL, and its host, with its port where that is not the usual one."""
    assert lines(url)[:2] == [first, f"host: {host}"]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://bücher.example", "xn--bcher-kva.example"),
        ("https://straße.example", "xn--strae-oqa.example"),  # of IDNA 2003, which the socket module has, it is another
        ("https://BÜCHER.example", "xn--bcher-kva.example"),
    ],
)
def test_a_name_of_other_letters(url, host):
    """As IDNA 2008 has it, for the resolver, the certificate and the peer."""
    assert Place(url).host == host
    assert lines(url)[1] == f"host: {host}"


@pytest.mark.parametrize(
    "url",
    [
        "http://%2561",
        "http://a%25b",
        "https://\u2764 .org",
        "http://\uff11",
        "http://a b",
        "http://a\r\nb",
        "http://",
        "x://y",
        "http://%61",
        "",
    ],
)
def test_what_is_no_url(url):
    """It is refused before anything is asked."""
    with pytest.raises(Misuse, match="no http or https URL"):
        Place(url)


@pytest.mark.parametrize("url", ["http://[fe80::1%25eth0]", "http://[fe80::1%eth0]"])
def test_an_address_with_a_zone(url):
    """It is for the resolver alone (RFC 6874), spelt either way."""
    assert Place(url).host == "fe80::1%eth0"
    assert lines(url)[1] == "host: [fe80::1]"


def test_the_name_of_a_certificate():
    """Without the dot that ends a name, and without the zone of an address."""
    assert Place("https://agents.example.").name == "agents.example"
    assert Place("https://[fe80::1%25eth0]").name == "fe80::1"


def test_a_body_has_a_length():
    """And so has a POST without one; whatever the caller says of it."""
    assert "content-length: 3" in lines(body=b"abc")
    assert "content-length: 0" in lines()
    assert not [line for line in lines(method="GET") if line.startswith("content-length")]
    told = {"content-length": "5", "transfer-encoding": "chunked", "host": "elsewhere", "connection": "upgrade"}
    assert lines(body=b"abc", **told) == lines(body=b"abc")


def test_a_request_may_be_the_last_of_its_connection():
    """It says so, and nothing else of its connection."""
    assert "connection: close" in lines(connection="close")
    assert not [line for line in lines(connection="keep-alive") if line.startswith("connection")]


def test_what_is_said_unless_the_caller_says_otherwise():
    """Which encodings are understood, and who asks."""
    usual = lines()
    assert any(line.startswith("accept-encoding: gzip, br") for line in usual)
    assert "user-agent: asap-proto" in usual
    own = lines(**{"accept-encoding": "identity", "user-agent": "me"})
    assert sorted(line for line in own if line.startswith(("accept-encoding", "user-agent"))) == [
        "accept-encoding: identity",
        "user-agent: me",
    ]


def test_user_and_password_of_the_url():
    """They become a header, unless the request has its own."""
    url = "http://us%40er:hunter2@agents.example"
    assert "authorization: Basic dXNAZXI6aHVudGVyMg==" in lines(url)
    own = lines(url, authorization="Bearer token")
    assert [line for line in own if line.startswith("authorization")] == ["authorization: Bearer token"]


@pytest.mark.parametrize(
    "headers",
    [
        {"x": "a\r\nb: c"},
        {"x": "a\nb"},
        {"x": "a\rb"},
        {"x": "a\0"},
        {"x": "a\x7f"},
        {"x: y\r\nz": "a"},
        {"": "a"},
        {"x y": "a"},
        {"Content-Length": "5"},  # two of them are two ends of one request
        {"x": "\u2764"},
    ],
)
def test_a_header_that_would_be_another(headers):
    """A value that came from elsewhere can't add a header, nor a request."""
    with pytest.raises(Misuse, match="a header can't be sent"):
        lines(**headers)


def test_a_method_or_a_target_that_would_be_more():
    """The one is refused, the other quoted."""
    with pytest.raises(Misuse, match="no method"):
        lines(method="GET / HTTP/1.1\r\n")
    assert lines(target="/a b\r\nc#d")[0] == "POST /a%20b%0D%0Ac%23d HTTP/1.1"
