"""JSON text to plain values and back, within bounds."""

import json
import sys

import pytest

from asap_proto.errors import MalformedJson
from asap_proto.wire.json import dump, load, load_weighed, refuse_any_duplicate, weight
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


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (b"[0,0,0]", 4),
        (b"[[0],[0],[0]]", 7),
        (b'[{"b":0},{"a":0}]', 5),
        (b'{"a":1,"b":2,"c":3}', 4),
        (b"[[[[]]]]", 4),
        (b'["a,b","[,","{,"]', 4),
        (rb'["\",[{,","\\","\\\"\\,,"]', 4),
        (rb'"\u002c,,,,,,,,,,,,,,,,"', 1),
        (b"[" + b" " * 100 + b"0]", 2),
    ],
)
def test_values_are_counted_before_they_are_made(text, values):
    """Objects, arrays and what stands in them, by what parts and opens them; what stands in texts is no value."""
    assert load(text, depth=9, values=values) == load(text, depth=9)
    if values > 1:
        with pytest.raises(MalformedJson, match=f"more than {values - 1} values"):
            load(text, depth=9, values=values - 1)


def test_many_more_texts_than_values_are_too_many():
    """No more than two texts can belong to a value, so the rest need not be looked at."""
    with pytest.raises(MalformedJson, match="more than 2 values"):
        load(b'["","","","","",""]', depth=9, values=2)


@pytest.mark.parametrize(
    "text", [b'["' + b'\\"' * 50_000, b'["' + b"," * 50_000, b'"' + b'","' * 50_000, b'["' + b"\\" * 50_001 + b",,,"]
)
def test_texts_without_end_take_no_longer(text):
    """A quote that nothing closes is looked at once, not each quote behind it again."""
    with pytest.raises(MalformedJson):
        load(text * 20, depth=9, values=1)


def held(value, seen):
    """Bytes that a value takes, with all that stands in it; what stands there twice, once."""
    if id(value) in seen:
        return 0
    seen.add(id(value))
    inner = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return sys.getsizeof(value) + sum(held(each, seen) for each in inner)


ITEMS = [b"[]", b"{}", b'{"a":0}', b'{"a":{"b":[]}}', b"[[[1.5]]]", b'"ab"', b"12345", b"0.5", b'"%s"' % (b"x" * 99)]


@pytest.mark.parametrize("item", ITEMS)
def test_a_text_weighs_as_much_as_its_values_take(item):
    """Many of one kind take no more memory than is said, and not less than a tenth of it."""
    text = b"[" + b",".join([item] * 10_000) + b"]"
    size = held(load(text, depth=9), set())
    assert size <= weight(text) <= 10 * size


@pytest.mark.parametrize("character", ["x", "é", "\u0416", "\u4e2d", "\U0001f600", "\U000a0000", "\U0010ffff"])
@pytest.mark.parametrize("escaped", [False, True])
def test_a_text_weighs_by_its_widest_character(character, escaped):
    """One wide character makes each other take as much room."""
    text = json.dumps({"a": character + "x" * 10_000}, ensure_ascii=escaped).encode()
    size = held(load(text, depth=9), set())
    assert size <= weight(text) + 1000
    assert weight(text) <= 2 * size + 1000


@pytest.mark.parametrize(
    ("text", "bytes"),
    [
        (b"0", 1),
        (b"[]", 2 + 110),
        (b'[{"a":0},0]', 11 + 3 * 110),
        (b"[" + b"0," * 4096 + b"0]", 8195 + 4097 * 110),
        (b'[{"a":{"b":[' + b" " * 4096 + b"]}}]", 12 + 4096 + 4 + 4 * 110),
        (rb'"\u00e9"', 2 * 8),
        (rb'"\n"', 4),
        ('"\u00e9"'.encode(), 2 * 4),
        (rb'"\ud83d\ude00"', 4 * 14),
        (rb'"\uD83D\uDE00"', 4 * 14),
        ('"\U0001f600"'.encode(), 4 * 6),
    ],
)
def test_a_text_weighs_its_characters_and_its_marks(text, bytes):
    """Each byte as much as the widest character takes, and 110 bytes for each mark; a long text as a short one."""
    assert weight(text) == load_weighed(text, depth=9)[1] == bytes


@pytest.mark.proves("json.depth")
@pytest.mark.parametrize("pair", [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")])
def test_nesting_is_bounded(pair):
    """As many levels as allowed pass, one more is refused; brackets in texts are no levels."""
    opening, closing = pair
    body = opening * 6 + b"1" + closing * 6
    deep = body.count(b"[") + body.count(b"{")
    assert load(body, depth=deep)
    for text in (body, b" " * 5000 + body):
        with pytest.raises(MalformedJson, match=f"nested deeper than {deep - 1} levels"):
            load(text, depth=deep - 1)


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
    "$.params.envelope.extensions": b'{"params":{"envelope":{"sender":"a","extensions":{"sender":"b","sender":"c"}}}}',
    "$[0].params.envelope": b'[{"params":{"envelope":{"sender":"a","sender":"b"}}},{}]',
    "$[1]": b'[{},{"params":{"envelope":{"sender":"a"}},"params":{"envelope":{"sender":"b"}}}]',
}


@pytest.mark.proves("json.unique-keys")
@pytest.mark.parametrize(("place", "text"), TWICE.items())
def test_two_senders_are_refused_where_senders_count(place, text):
    """Of two equal keys a gateway may read the first and we the last; the error says in which object they stand."""
    assert load(text, depth=9) == load_weighed(text, depth=9)[0]
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
        b'{"x":"\\n","x":"sender"}',
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


@pytest.mark.parametrize("text", [b'{"a":1,"b":{"a":1},"c":[{"a":1},{"a":1}]}', b"[]", b'{"":{},"\\u0000":1}'])
def test_keys_that_stand_once(text):
    """The same key of another object is another key."""
    refuse_any_duplicate(text)


@pytest.mark.parametrize(
    "text", [b'{"a":1,"a":1}', b'[{"b":{"a":1,"\\u0061":2}}]', b'{"x":[[{"a":{},"a":{}}]]}', b'{"b":1,"a":1,"a":2}']
)
def test_no_key_of_a_signed_text_stands_twice(text):
    """However deep it stands, and however it is spelled."""
    with pytest.raises(MalformedJson, match="the key 'a' stands twice"):
        refuse_any_duplicate(text)
