"""JSON text to plain values and back, within bounds."""

import pytest

from asap_proto.errors import MalformedJson
from asap_proto.wire.json import dump, load
from asap_testkit import NOW


@pytest.mark.proves("json.text")
@pytest.mark.parametrize("text", [b"{}", b" [1, 2.5, -3] ", b'"\xc3\xa9"', b"null", b"18446744073709551615"])
def test_json_texts_are_read(text):
    """Any value at the top, in UTF-8."""
    assert dump(load(text, depth=9))


@pytest.mark.proves("json.text")
@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"{",
        b"nul",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"[1,]",
        b"{'a':1}",
        b"// x\n1",
        b"01",
        b"1 2",
        b"\x00",
        b"\xef\xbb\xbf{}",
        b"\xff",
        '"é"'.encode("utf-16"),
        '"é"'.encode("latin-1"),
        b'"\\ud800"',
        b"1" * 5000,
        b"[" * 100_000,
    ],
)
def test_all_else_is_malformed(text):
    """No NaN, no byte-order mark, no other encoding, no lone surrogate; the error says where."""
    with pytest.raises(MalformedJson, match=r"not JSON: .* at character"):
        load(text, depth=9)


@pytest.mark.proves("json.integers")
def test_integers_beyond_64_bits_are_floats():
    """So are they in most of the world; what needs more digits sends a string."""
    assert load(b"18446744073709551615", depth=9) == 2**64 - 1
    assert load(b"18446744073709551616", depth=9) == float(2**64)
    assert isinstance(load(b"18446744073709551616", depth=9), float)


@pytest.mark.proves("json.depth")
@pytest.mark.parametrize("pair", [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")])
def test_nesting_is_bounded(pair):
    """As many levels as allowed pass, one more is refused; brackets in texts are no levels."""
    opening, closing = pair
    body = opening * 6 + b"1" + closing * 6
    deep = body.count(b"[") + body.count(b"{")
    assert load(body, depth=deep)
    with pytest.raises(MalformedJson, match=f"nested deeper than {deep - 1} levels"):
        load(body, depth=deep - 1)


def test_many_brackets_side_by_side_are_not_deep():
    """Width is no depth."""
    assert len(load(b"[" + b",".join([b"[]"] * 100) + b"]", depth=2)) == 100
    assert load(b'"' + b"[{" * 100 + b'"', depth=0)


@pytest.mark.proves("json.depth")
def test_depth_0_takes_no_containers():
    """A bound of nothing leaves scalars."""
    assert load(b"1", depth=0) == 1
    with pytest.raises(MalformedJson):
        load(b"[]", depth=0)


TWICE = {
    "$": b'{"params":{"envelope":{"sender":"a"}},"params":{"envelope":{"sender":"b"}}}',
    "$.params": b'{"params":{"envelope":{"sender":"a"},"envelope":{"sender":"b"}}}',
    "$.params.envelope": b'{"params":{"envelope":{"sender":"a","sender":"b"}}}',
    "$[1]": b'[{},{"params":{"envelope":{"sender":"a"}},"params":{"envelope":{"sender":"b"}}}]',
}


@pytest.mark.proves("json.unique-keys")
@pytest.mark.parametrize(("place", "text"), TWICE.items())
def test_two_senders_are_refused_where_senders_count(place, text):
    """Of two equal keys a gateway may read the first and we the last; the error says in which object they stand."""
    assert load(text, depth=9)
    with pytest.raises(MalformedJson, match="stands twice") as caught:
        load(text, depth=9, unique=True)
    assert caught.value.path == place


@pytest.mark.proves("json.unique-keys")
@pytest.mark.parametrize("hidden", [b'"\\u0073ender"', b'"s\\u0065nder"'])
def test_a_sender_behind_an_escape_is_found(hidden):
    """An escaped key is the same key."""
    with pytest.raises(MalformedJson, match="'sender' stands twice"):
        load(b'{"params":{"envelope":{"sender":"a",' + hidden + b':"b"}}}', depth=9, unique=True)


@pytest.mark.parametrize(
    "text",
    [
        b'{"params":{"envelope":{"sender":"a","payload":{"sender":"b"}}}}',
        b'{"params":{"envelope":{"sender":"a","payload":{"x":1,"x":2,"sender":1}}}}',
        b'{"params":{"envelope":{"sender":"a","extensions":{"sender":"b"}}}}',
        b'{"params":{"envelope":{"sender":"a","extensions":null,"x":"\\u0000"}}}',
        b'["sender","sender"]',
        b'"\\u0000"',
    ],
)
def test_keys_elsewhere_may_repeat(text):
    """What decides nothing about the sender is left alone."""
    assert load(text, depth=9, unique=True) == load(text, depth=9)


@pytest.mark.proves("json.output")
def test_output_is_compact():
    """Compact separators, non-ASCII unescaped, times in UTC with a Z."""
    assert dump({"a": [1, "é"], "t": NOW}) == '{"a":[1,"é"],"t":"2026-01-02T03:04:05.123456Z"}'.encode()


@pytest.mark.parametrize("value", [{1: 2}, {1, 2}, 2**64, "\ud800", object()])
def test_what_is_no_json_is_a_type_error(value):
    """A value that no JSON can say is the caller's mistake."""
    with pytest.raises(TypeError):
        dump(value)
