"""Regular expressions that count the steps of a matcher that tries what they say, in their order, and goes back.

The engine of `re` takes no more: it knows shortcuts besides. What it finds has to be what is found here.
"""

import re
from collections.abc import Iterator
from typing import Any

from re import _constants as ops  # isort: skip
from re import _parser as parser  # isort: skip

_CATEGORIES = {
    ops.CATEGORY_SPACE: str.isspace,
    ops.CATEGORY_NOT_SPACE: lambda each: not each.isspace(),
    ops.CATEGORY_WORD: lambda each: each.isalnum() or each == "_",
    ops.CATEGORY_DIGIT: str.isdecimal,
}


class Counted:
    """A pattern with the methods that are used of it; `steps` are those taken so far, by all that share the list."""

    def __init__(self, pattern: re.Pattern[str], steps: list[int]) -> None:
        self._pattern = pattern
        self._steps = steps
        self._tree = parser.parse(pattern.pattern, pattern.flags)

    def match(self, text: str, at: int = 0) -> re.Match[str] | None:
        return self._same(self._end(text, at), self._pattern.match(text, at))

    def search(self, text: str, at: int = 0) -> re.Match[str] | None:
        return next(self.finditer(text, at), None)

    def finditer(self, text: str, at: int = 0) -> Iterator[re.Match[str]]:
        while at <= len(text):
            end = self._end(text, at)
            if end is not None:
                found = self._same(end, self._pattern.match(text, at))
                assert found is not None
                yield found
            at = at + 1 if end is None or end == at else end

    def sub(self, instead: Any, text: str) -> str:
        shown, at = [], 0
        for found in self.finditer(text):
            shown += [text[at : found.start()], instead(found) if callable(instead) else found.expand(instead)]
            at = found.end()
        answer = "".join([*shown, text[at:]])
        assert answer == self._pattern.sub(instead, text)
        return answer

    def _same(self, end: int | None, found: re.Match[str] | None) -> re.Match[str] | None:
        assert end == (found.end() if found else None), "this is not how `re` reads the pattern"
        return found

    def _end(self, text: str, at: int) -> int | None:
        return next(self._sequence(self._tree, 0, text, at, self._tree.state.flags), None)

    def _sequence(self, items: Any, index: int, text: str, at: int, flags: int) -> Iterator[int]:
        if index == len(items):
            yield at
            return
        for end in self._item(*items[index], text, at, flags):
            yield from self._sequence(items, index + 1, text, end, flags)

    def _item(self, op: Any, about: Any, text: str, at: int, flags: int) -> Iterator[int]:
        self._steps[0] += 1
        if op in (ops.LITERAL, ops.NOT_LITERAL, ops.IN, ops.ANY):
            if at < len(text) and _is_in(op, about, text[at], flags):
                yield at + 1
        elif op is ops.AT:
            assert about is ops.AT_END_STRING
            if at == len(text):
                yield at
        elif op is ops.BRANCH:
            for branch in about[1]:
                yield from self._sequence(branch, 0, text, at, flags)
        elif op is ops.SUBPATTERN:
            _, more, less, items = about
            yield from self._sequence(items, 0, text, at, (flags | more) & ~less)
        elif op in (ops.ASSERT, ops.ASSERT_NOT):
            back, items = about
            begin = at - items.getwidth()[0] if back < 0 else at
            held = begin >= 0 and next(self._sequence(items, 0, text, begin, flags), None) is not None
            if held is (op is ops.ASSERT):
                yield at
        else:
            repeat = {ops.POSSESSIVE_REPEAT: self._possessive, ops.MIN_REPEAT: self._lazy, ops.MAX_REPEAT: self._greedy}
            yield from repeat[op](*about, text, at, flags)

    def _possessive(self, least: int, most: int, items: Any, text: str, at: int, flags: int) -> Iterator[int]:
        count = 0
        while count < most and (end := next(self._sequence(items, 0, text, at, flags), None)) is not None:
            count, at = count + 1, end
        if count >= least:
            yield at

    def _lazy(self, least: int, most: int, items: Any, text: str, at: int, flags: int) -> Iterator[int]:
        assert (least, items.getwidth()) == (0, (1, 1)), "of one character, any number"
        while True:
            yield at
            end = next(self._sequence(items, 0, text, at, flags), None)
            if end is None:
                return
            at = end

    def _greedy(self, least: int, most: int, items: Any, text: str, at: int, flags: int) -> Iterator[int]:
        assert most < 10, "one that may go back so often has to be possessive"
        if most:
            for end in self._sequence(items, 0, text, at, flags):
                yield from self._greedy(max(0, least - 1), most - 1, items, text, end, flags)
        if not least:
            yield at


def _is_in(op: Any, about: Any, each: str, flags: int) -> bool:
    if op is ops.ANY:
        return each != "\n" or bool(flags & re.DOTALL)
    if flags & re.IGNORECASE:
        return any(_is_one_of(op, about, same) for same in {each, each.lower(), each.upper()})
    return _is_one_of(op, about, each)


def _is_one_of(op: Any, about: Any, each: str) -> bool:
    if op is not ops.IN:
        return (ord(each) == about) is (op is ops.LITERAL) if len(each) == 1 else False
    negate = about[0][0] is ops.NEGATE
    for kind, what in about[negate:]:
        if kind is ops.LITERAL:
            found = each == chr(what)
        elif kind is ops.RANGE:
            found = len(each) == 1 and what[0] <= ord(each) <= what[1]
        else:
            found = _CATEGORIES[what](each)
        if found:
            return not negate
    return negate
