"""What a log, a trace, an error or an output may show: secrets are hidden by the names they go by, and by their shapes.

A name gives its value away whatever that looks like (``X-API-Key``, ``clientSecret``); a shape does whatever the name
is (a bearer token, the password in a URL, a private key). A secret with neither, in the midst of prose, is not found.

The work is in proportion to what is looked at: each pattern reads a character a bounded number of times.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from ..limits import JSON_DEPTH_MOST

__all__ = ["CUT", "HIDDEN", "is_secret", "printable", "redact", "redact_text"]

#: What stands where a secret stood.
HIDDEN: Final = "***"
#: What stands for the rest of what is too deep or too much, and of a nonce.
CUT: Final = "…"

#: Values that `redact` looks at, unless told otherwise.
_VALUES_MOST: Final = 10_000
#: Characters of a nonce that are shown: enough to find it again.
_NONCE_SHOWN: Final = 8

# -- names -----------------------------------------------------------------------------------------------------------

#: Names are compared without case and separators: these words make a secret of whatever has them in its name.
_find_secret = re.compile(
    r"authorization|connectionstring|cookie|credential|csrf|passcode|passphrase|passw(?:or)?d|secret(?!ar)|sess(?:ion)?id"
    r"|token(?!i[sz])|xsrf|(?:access|api|auth|encryption|master|private|session|shared|signing)key|(?:amz|goog)signature"
).search
#: These do where they are all of it.
_ALONE = frozenset({"bearer", "jwt", "otp", "pass", "pin", "pw", "pwd", "sid", "sig"})
#: What only says something about a secret ends so: ``token_type``, ``password_policy``, ``InvalidTokenError``.
_tells_about = re.compile(
    r"(?:budget|count|enabled|endpoint|error|exception|expir(?:y|es|esin|esat|ation)|keyid|length|lifetime|limit|name"
    r"|policy|required|schemes?|size|status|supported|ttl|type|ur[il]|usage|validator|warning)\Z"
).search
#: Tokens that are counted, as language models do, are no secret.
_COUNTED: Final = "tokens"
_NONCE: Final = "nonce"
#: Headers whose value, where it is not quoted, goes on to the end of the line.
_HEADERS = frozenset({"authorization", "cookie", "proxyauthorization", "setcookie"})

_is_plain = re.compile(r"[\w.~+/=-]*+\Z").match
_separators = re.compile(r"[^a-z0-9]++").sub


def _compact(name: str) -> str:
    return _separators("", name.lower())


def _holds_secret(compact: str) -> bool:
    return compact in _ALONE or (_find_secret(compact) is not None and _tells_about(compact) is None)


def is_secret(name: str) -> bool:
    """Whether what goes by this name is to be hidden: ``api_key``, ``apiKey`` and ``X-API-Key`` are one name."""
    return _holds_secret(_compact(name))


# -- values ----------------------------------------------------------------------------------------------------------

#: Members of a JSON Schema. What is called a password there is the shape of one, but for its values.
_SCHEMA_VALUES = frozenset({"const", "default", "enum", "examples"})
_SCHEMA = _SCHEMA_VALUES | frozenset(
    [
        "$ref",
        "allOf",
        "anyOf",
        "description",
        "format",
        "items",
        "maxLength",
        "minLength",
        "oneOf",
        "pattern",
        "title",
        "type",
        "writeOnly",
    ]
)


def redact(value: Any, *, depth: int = JSON_DEPTH_MOST, most: int = _VALUES_MOST) -> Any:
    """A JSON value as it may be shown: a new one, with the secrets hidden and nonces shortened.

    Looks `depth` levels deep and at `most` values; the rest is cut off, not shown. Nulls, truth values and ids of
    ours stay readable.
    """
    return _Look(most).at(value, depth)


class _Look:
    """One look at a value, and how many more values it may see."""

    __slots__ = ("left",)

    def __init__(self, most: int) -> None:
        self.left = most

    def at(self, value: Any, depth: int, *, in_list: bool = False) -> Any:
        if isinstance(value, str):
            return redact_text(value)
        if not isinstance(value, dict | list | tuple):
            return value
        if depth <= 0:
            return CUT
        if isinstance(value, dict):
            return self._object(value, depth - 1)
        return self._array(value, depth - 1, in_list=in_list)

    def _array(self, items: list[Any] | tuple[Any, ...], depth: int, *, in_list: bool) -> list[Any]:
        shown: list[Any] = []
        # As headers are often kept: a list of names, each with its value.
        name = items[0] if in_list and len(items) == 2 else None
        for item in items:
            if self.left <= 0:
                shown.append(CUT)
                break
            self.left -= 1
            hidden = _hidden(name, item) if shown else None
            shown.append(self.at(item, depth, in_list=True) if hidden is None else hidden)
        return shown

    def _object(self, members: dict[Any, Any], depth: int, *, are_fields: bool = False) -> dict[Any, Any]:
        shown: dict[Any, Any] = {}
        # The other way to keep a header: {"name": "cookie", "value": …}.
        named = members.get("name", members.get("key"))
        for key, value in members.items():
            if self.left <= 0:
                shown[CUT] = CUT
                break
            self.left -= 1
            name = redact_text(key) if isinstance(key, str) else key
            if name == "properties" and isinstance(value, dict) and depth > 0:
                shown[name] = self._object(value, depth - 1, are_fields=True)
                continue
            hidden = _hidden(named if name == "value" else name, value)
            if hidden is None:
                shown[name] = self.at(value, depth)
            elif are_fields and isinstance(value, dict) and value.keys() <= _SCHEMA:
                shown[name] = self.at(
                    {each: HIDDEN if each in _SCHEMA_VALUES else value[each] for each in value}, depth
                )
            else:
                shown[name] = hidden
        return shown


def _hidden(name: Any, value: Any) -> str | None:
    """What to show instead of the value that goes by this name; nothing where it may be looked at."""
    compact = _compact(name) if isinstance(name, str) else ""
    if value is None or isinstance(value, bool) or (isinstance(value, int | float) and _COUNTED in compact):
        return None
    if compact.endswith(_NONCE):
        return _shortened(value) if isinstance(value, str) else HIDDEN
    return HIDDEN if _holds_secret(compact) else None


def _shortened(nonce: str) -> str:
    if nonce.endswith(CUT) and len(nonce) <= _NONCE_SHOWN + 1:
        return nonce
    shown = nonce[: min(_NONCE_SHOWN, len(nonce) // 2)]
    return shown + CUT if _is_plain(shown) else HIDDEN


# -- texts -----------------------------------------------------------------------------------------------------------


def _hide_jwt(found: re.Match[str]) -> str:
    """A run of letters, with points in it: hidden from where a JSON object in base64 begins."""
    before, begin, _ = found[0].partition("eyJ")
    return before + HIDDEN if begin else before


_private_key = re.compile(
    r"""-----BEGIN\ (?:[A-Z0-9]{1,20}+\ ){0,3}PRIVATE\ KEY(?:\ BLOCK)?-----
        (?s:.)*?
        (?:-----END\ (?:[A-Z0-9]{1,20}+\ ){0,3}PRIVATE\ KEY(?:\ BLOCK)?-----|\Z)""",
    re.VERBOSE,
)
#: User and password of a URL.
_userinfo = re.compile(r'(?<=://)(?:[^\s/?#@"]*+@)++')
#: The same with a password in it that should have been quoted; the path of ``http://host:80/a@b`` is none.
_odd_userinfo = re.compile(r'(?<=://)[^\s/?#@:"]{0,64}+:(?![0-9]{1,5}+(?:[/?#\s]|\Z))[^\s@"]{1,256}+@')
#: In prose, words follow that are no token.
_bearer = re.compile(
    r"""(?<![A-Za-z0-9])((?i:bearer)(?:[ \t]++(?i:basic|bearer)(?=[ \t])){0,2}+)[ \t]++
        (?!(?i:auth[a-z]*+|credentials?|schemes?|tokens?)(?![\w.~+/=-]))
        [^\s,;"'<>)\]}]++""",
    re.VERBOSE,
)
#: In prose, a word follows in small letters.
_basic = re.compile(
    r"""(?<![A-Za-z0-9])((?i:basic)(?:[ \t]++(?i:basic|bearer)(?=[ \t])){0,2}+)[ \t]++
        (?=[a-z]*+[A-Z0-9+/=])[A-Za-z0-9+/=_-]{6,}+""",
    re.VERBOSE,
)
_dotted = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]++\.[A-Za-z0-9_-]++\.[A-Za-z0-9_.-]*+")
#: Tokens that say whose they are, so that they can be found where they should not be.
_marked = re.compile(
    r"""(?<![A-Za-z0-9])
        (?:AIza|AKIA|ASIA|gh[oprsu]_|github_pat_|glpat-|hf_|npm_|pypi-|[rs]k_(?:live|test)_|sk-|xox[abeoprs]-)
        [A-Za-z0-9_-]{16,}+""",
    re.VERBOSE,
)

#: What has to be in a text for a pattern to be tried, the pattern, and what to put in the place of what it finds.
_SHAPES: tuple[tuple[str, re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    ("PRIVATE KEY", _private_key, HIDDEN),
    ("eyJ", _dotted, _hide_jwt),
    ("", _marked, HIDDEN),
    ("://", _userinfo, HIDDEN + "@"),
    ("://", _odd_userinfo, HIDDEN + "@"),
    (" ", _bearer, r"\1 " + HIDDEN),
    (" ", _basic, r"\1 " + HIDDEN),
)

#: A name, perhaps quoted, and what stands between it and its value: ``a=b``, ``a: b``, ``'a': b``, ``('a', 'b')``.
_names = re.compile(
    r"""(?<![\w-])([\w-]++)
        (?: (?:\\{0,8}+["'])?+ [ \t]*+ (?: !?={1,3}+>?+ | :=?+ )
          | \\{0,8}+["'] [ \t]*+ , (?=[ \t]*+[bru]?+["']) )
        [ \t]*+""",
    re.VERBOSE,
).finditer
#: A word that says what sort of credentials follow.
_scheme = re.compile(
    r"(?i:apikey|aws4[\w-]{0,24}+|basic|bearer|digest|hmac[\w-]{0,24}+|negotiate|signature|token)[ \t]++(?=\S)"
).match
#: A whole text in quotes, whose quotes may be escaped themselves; one that does not end goes to the end of all.
_quoted = re.compile(
    r"""([bfruBFRU]{0,2}+)
        (?: (\\++") ([^"]*+) "?+
          | (\\++') ([^']*+) '?+
          | (") ((?:[^"\\]|\\(?s:.))*+) "?+
          | (') ((?:[^'\\]|\\(?s:.))*+) '?+ )""",
    re.VERBOSE,
).match
#: What stands bare, up to a space, a bracket, a closing quote, or a mark that another name follows.
_bare = re.compile(
    r"""(?: [^\s,;&"'\\()\[\]{}]
          | \\++ (?!["'])
          | ["'] (?=\w)
          | [,;&] (?! [\s"'\\] | \Z | [\w.-]{1,64}+ \\?+ ["']?+ [ \t]{0,4}+ [=:] ) )++""",
    re.VERBOSE,
).match
_brackets = re.compile(
    r"""([(\[{]) | ([)\]}]) | "(?:[^"\\]|\\(?s:.))*+"?+ | '(?:[^'\\]|\\(?s:.))*+'?+""", re.VERBOSE
).finditer
_line_break = re.compile(r"[\r\n]").search
_LITERALS = frozenset({"False", "None", "True", "false", "null", "true", HIDDEN})


def redact_text(text: str) -> str:
    """A text as it may be shown: prose, a URL, headers, what an exception says, a value as it was printed.

    Said again of what it has answered, it changes nothing.
    """
    for hint, pattern, instead in _SHAPES:
        if hint in text:
            text = pattern.sub(instead, text)
    return _without_named(text)


def _without_named(text: str) -> str:
    """The text without what stands in it behind the name of a secret."""
    shown: list[str] = []
    at = 0
    for found in _names(text):
        # What was hidden already, with its value, is past.
        if found.start() < at:
            continue
        compact = _compact(found[1])
        is_nonce = compact.endswith(_NONCE)
        if is_nonce or _holds_secret(compact):
            instead, end = _nameless(text, found.end(), compact, is_nonce=is_nonce)
            shown += text[at : found.end()], instead
            at = end
    return "".join((*shown, text[at:]))


def _nameless(text: str, start: int, compact: str, *, is_nonce: bool) -> tuple[str, int]:
    """What to show of the value that begins there, and where it ends."""
    if quoted := _quoted(text, start):
        mark = quoted[2] or quoted[4] or quoted[6] or quoted[8]
        inner = quoted[3] or quoted[5] or quoted[7] or quoted[9] or ""
        return quoted[1] + mark + (_shortened(inner) if is_nonce else HIDDEN) + mark, quoted.end()
    if compact in _HEADERS:
        end = line.start() if (line := _line_break(text, start)) else len(text)
    else:
        after = _scheme(text, start)
        end = _end_of_bare(text, after.end() if after else start)
    value = text[start:end]
    if not value or value in _LITERALS or (value.isdecimal() and _COUNTED in compact):
        return value, end
    return (_shortened(value) if is_nonce else HIDDEN), end


def _end_of_bare(text: str, at: int) -> int:
    """Where what stands bare ends, with the brackets in it: ``SecretStr('…')`` is one value."""
    while True:
        if run := _bare(text, at):
            at = run.end()
        if text[at : at + 1] not in ("(", "[", "{"):
            return at
        at = _end_of_brackets(text, at)


def _end_of_brackets(text: str, at: int) -> int:
    depth = 0
    for found in _brackets(text, at):
        depth += 1 if found[1] else -1 if found[2] else 0
        if not depth:
            return found.end()
    return len(text)


# -- lines -----------------------------------------------------------------------------------------------------------

_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    r"""One line that a terminal shows as it is.

    Control characters, line breaks and what turns the direction of writing are escaped, as ``\n`` or ``\u202e``.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    number = ord(character)
    return _ESCAPES.get(character) or (f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}")
