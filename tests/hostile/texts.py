"""Bodies that are no JSON, or that no parser should be trusted with: cut, deep, wide, in other codes, odd numbers."""

from collections.abc import Iterator

from hostile.cases import Case, Expect, Place, call, envelope, good, posted, refused, request, text

_NO_JSON = refused("asap:protocol/malformed_json", "$")
_NO_REQUEST = refused("asap:protocol/invalid_request")

_BROKEN = {
    "nothing": b"",
    "a blank": b" ",
    "a megabyte of blanks": b" " * 1_000_000,
    "a line break": b"\r\n",
    "NUL": b"\0",
    "many NULs": bytes(1000),
    "a word": b"asap",
    "True": b"True",
    "None": b"None",
    "undefined": b"undefined",
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "-Infinity": b"-Infinity",
    "a comment": b"/* */ {}",
    "a line comment": b"// x\n{}",
    "single quotes": b"{'a':1}",
    "no quotes": b"{a:1}",
    "a comma too many": b'{"a":1,}',
    "a comma too many, in an array": b"[1,]",
    "two commas": b"[1,,2]",
    "no colon": b'{"a" 1}',
    "two colons": b'{"a"::1}',
    "no value": b'{"a":}',
    "a number as a key": b"{1:1}",
    "a closed array too many": b"[]]",
    "crossed brackets": b"[{]}",
    "two documents": b"{}{}",
    "two lines": b"{}\n{}",
    "something behind": b"{}x",
    "NUL behind": b"{}\0",
    "form data": b"a=1&b=2",
    "XML": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
    "multipart": b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n',
    "a pickle": b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94.",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "MessagePack": b"\x81\xa1a\x01",
    "a mark of byte order": b"\xef\xbb\xbf{}",
    "UTF-16": "{}".encode("utf-16"),
    "UTF-16 without a mark": "{}".encode("utf-16-le"),
    "UTF-16, big end first": "{}".encode("utf-16-be"),
    "UTF-32": "{}".encode("utf-32"),
    "UTF-7": b"+AHsAfQ-",
    "Latin-1": b'{"a":"\xe9"}',
    "an overlong slash": b'{"a":"\xc0\xaf"}',
    "an overlong NUL": b'{"a":"\xc0\x80"}',
    "a surrogate in UTF-8": b'{"a":"\xed\xa0\x80"}',
    "a pair of surrogates in UTF-8": b'{"a":"\xed\xa0\xbd\xed\xb8\x80"}',
    "a character beyond the last": b'{"a":"\xf4\x90\x80\x80"}',
    "five bytes for one character": b'{"a":"\xf8\x88\x80\x80\x80"}',
    "a cut character": b'{"a":"\xe2\x82"}',
    "a lone continuation": b'{"a":"\x80"}',
    "a high surrogate": b'{"a":"\\ud800"}',
    "a low surrogate": b'{"a":"\\udc00"}',
    "surrogates the wrong way round": b'{"a":"\\udc00\\ud800"}',
    "a surrogate as a key": b'{"\\ud800":1}',
    "half an escape": b'{"a":"\\u12"}',
    "an unknown escape": b'{"a":"\\x41"}',
    "a NUL in a text": b'{"a":"\0"}',
    "a line break in a text": b'{"a":"\n"}',
    "a tab in a text": b'{"a":"\t"}',
    "an open text": b'"' + b"a" * 100_000,
    "an open text of escapes": b'"' + b"\\\\" * 100_000,
    "an escape at the end": b'"\\',
    "a leading zero": b"[01]",
    "a plus": b"[+1]",
    "no digits": b"[.5]",
    "no decimals": b"[1.]",
    "no exponent": b"[1e]",
    "two minuses": b"[--1]",
    "hexadecimal": b"[0x10]",
    "underscores": b"[1_000]",
    "Arabic digits": "[٣]".encode(),
    "a number beyond all": b"[1e999]",
    "a negative one beyond all": b"[-1e999]",
    "a number of 100,000 digits": b"9" * 100_000,
    "an exponent of a thousand digits": b"[1e" + b"9" * 1000 + b"]",
    "100 open arrays": b"[" * 100,
    "101 levels": b"[" * 101 + b"]" * 101,
    "101 levels of objects": b'{"a":' * 101 + b"1" + b"}" * 101,
    "101 levels, mixed": b'[{"a":' * 51 + b"1" + b"}]" * 51,
    "1,000 levels": b"[" * 1000 + b"]" * 1000,
    "1,100 levels of objects": b'{"a":' * 1100 + b"1" + b"}" * 1100,
    "100,000 levels": b"[" * 100_000 + b"]" * 100_000,
    "a million open arrays": b"[" * 1_000_000,
    "a million open objects": b'{"a":' * 1_000_000,
    "a million closed arrays": b"]" * 1_000_000,
    "100,001 members": text({f"m{n}": n for n in range(100_001)}),
    "one member 100,001 times": b'{"a":1' + b',"a":1' * 100_000 + b"}",
    "a batch of a million": b"[" + b",".join([b"0"] * 1_000_000) + b"]",
    "a batch of 300,000 arrays": b"[" + b",".join([b"[]"] * 300_000) + b"]",
    "300,000 texts of commas": b"[" + b",".join([b'",,,"'] * 300_000) + b"]",
    "300,000 texts without end": b'["a' + b'\\"' * 300_000 + b"," * 300_000,
    "deep behind a wide text": b'{"a":"' + b"[" * 500 + b'","b":' + b"[" * 150 + b"]" * 150 + b"}",
}

_NO_REQUESTS = {
    "null": b"null",
    "true": b"true",
    "false": b"false",
    "a number": b"1",
    "a text": b'"asap.send"',
    "a fraction of 100,000 digits": b"0." + b"9" * 100_000,
    "a number too small": b"1e-999",
    "minus zero": b"-0",
    "an object with nothing": b"{}",
    "90,000 members": text({f"m{n}": n for n in range(90_000)}),
    "one member 90,000 times": b'{"a":1' + b',"a":1' * 90_000 + b"}",
    "a text of 300,000 commas": b'"' + b"," * 300_000 + b'"',
    "a key of a megabyte": text({"k" * 1_000_000: 1}),
    "members that hash alike, to some": text({str(n * ((1 << 61) - 1)): n for n in range(20_000)}),
    "a text of a megabyte": b'"' + b"x" * 1_000_000 + b'"',
    "a text of escapes": b'"' + b"\\u0041" * 150_000 + b'"',
}

_TOO_WIDE = {
    "a batch of 51": b"[" + b",".join([b"1"] * 51) + b"]",
    "a batch of 51 requests": b"[" + b",".join([b"{}"] * 51) + b"]",
    "a batch of 90,000": b"[" + b",".join([b"0"] * 90_000) + b"]",
    "a batch of 40,000 arrays": b"[" + b",".join([b"[]"] * 40_000) + b"]",
}


def texts(at: Place) -> Iterator[Case]:
    """Each text as a body; then a good request cut, doubled, and with odd contents."""
    for name, body in _BROKEN.items():
        yield _case(at, name, body, _NO_JSON)
    for name, body in _NO_REQUESTS.items():
        yield _case(at, name, body, _NO_REQUEST)
    for name, body in _TOO_WIDE.items():
        yield _case(at, name, body, refused("asap:protocol/batch_too_large"))
    whole = text(call(envelope(at)))
    for length in range(1, len(whole), 23):
        yield _case(at, f"a request cut after {length} bytes", whole[:length], _NO_JSON)
    yield _case(at, "a request twice", whole * 2, _NO_JSON)
    yield _case(at, "a request with its bytes turned round", whole[::-1], _NO_JSON)
    yield from _odd_inputs(at)


def _odd_inputs(at: Place) -> Iterator[Case]:
    """What is odd in the skill's input is none of the protocol's business."""
    inputs = {
        "NUL, escaped": {"a": "\0"},
        "an empty key": {"": 1},
        "characters that are none": {"a": "\uffff\ufdd0\U0010ffff"},
        "text that turns round": {"a": "\u202egnp.exe"},
        "a thousand accents": {"a": "e" + "\u0301" * 1000},
        "invisible characters": {"a\u200b": "\u2060\ufeff"},
        "separators of lines": {"a": "\u2028\u2029\x85"},
        "a pair of surrogates": {"a": "\U0001f600"},
        "names of Python": {"__class__": {"__reduce__": "os.system"}, "__proto__": {"a": 1}, "constructor": 1},
        "a template": {"a": "{{7*7}} ${jndi:ldap://x} {0.__class__} %s%n %(a)s"},
        "SQL": {"a": "'; DROP TABLE tasks; --"},
        "line breaks of HTTP": {"a": "x\r\nSet-Cookie: a=b\r\n\r\n"},
        "the largest whole number": {"a": 2**63 - 1},
        "the largest without a sign": {"a": 2**64 - 1},
        "the smallest": {"a": -(2**63)},
        "beyond the largest": {"a": 2**64},
        "40 digits": {"a": int("9" * 40)},
        "1e308": {"a": 1e308},
        "the smallest fraction": {"a": 5e-324},
        "90 levels": _deep(90),
        "90,000 numbers": {"a": [0] * 90_000},
        "50,000 keys": {f"k{n}": n for n in range(50_000)},
    }
    for name, value in inputs.items():
        yield _case(at, f"an input of {name}", text(call(envelope(at, payload=request(input=value)))), good())
    bodies = {"1e400": b"1e400", "a surrogate": b'"\\ud800"', "96 levels": b"[" * 96 + b"]" * 96}
    for name, value in bodies.items():
        body = text(call(envelope(at, payload=request(input={"a": "HERE"})))).replace(b'"HERE"', value)
        yield _case(at, f"an input of {name}", body, _NO_JSON)


def _deep(levels: int) -> dict[str, object]:
    value: dict[str, object] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


def _case(at: Place, name: str, body: bytes, expect: Expect) -> Case:
    return Case(name, (posted(at, body),), expect)
