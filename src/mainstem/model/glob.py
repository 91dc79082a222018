"""Glob patterns: `*` any run of characters, `?` one, `[abc]` and `[a-z]` one of a set, `[^a]` one that is
not in it, `\\x` the character x itself. A pattern matches the whole text, newlines included, case matters.

The work is bounded by text length times pattern length / 30, whatever the pattern: runs between stars are
looked for from left to right, each only once, and a run with sets in it is found by the bit-parallel
shift-and method, so nothing ever backtracks.
Source: FQL reference, "match( string, pattern )". That `^` negates is observed; what a malformed pattern
does (it is an error) is a judgement.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final, Protocol

MAX_PATTERN_BYTES: Final = 5 * 1024
_LAST_CHARACTER: Final = 0x10FFFF

_Ranges = tuple[tuple[int, int], ...]  # code points: both ends included, sorted, gaps between them
_ANY: Final[_Ranges] = ((0, _LAST_CHARACTER),)


class GlobError(ValueError):
    """The pattern cannot be read; the message says why and never repeats the pattern."""


def compile_glob(pattern: str) -> Callable[[str], bool]:
    """Return a function that tells whether a text matches `pattern`.
    Raises GlobError for an unclosed or empty set, a range from high to low, a backslash at the end, and a
    pattern over 5 KB.
    """
    if len(pattern.encode("utf-8", "surrogatepass")) > MAX_PATTERN_BYTES:
        raise GlobError(f"a pattern holds at most {MAX_PATTERN_BYTES} bytes")
    runs = [_run(characters) for characters in _split_at_stars(pattern)]
    if len(runs) == 1:
        return _whole(runs[0])
    head, *middle, tail = runs
    return _starred(head, [run for run in middle if run.length], tail)


def _whole(run: _Run) -> Callable[[str], bool]:
    return lambda text: len(text) == run.length and run.stands_at(text, 0)


def _starred(head: _Run, middle: Sequence[_Run], tail: _Run) -> Callable[[str], bool]:
    shortest = head.length + sum(run.length for run in middle) + tail.length
    if not middle and isinstance(head, _Literal) and isinstance(tail, _Literal):
        first, last = head.text, tail.text
        return lambda text: len(text) >= shortest and text.startswith(first) and text.endswith(last)

    def matches(text: str) -> bool:
        if len(text) < shortest or not head.stands_at(text, 0):
            return False
        end = len(text) - tail.length
        if not tail.stands_at(text, end):
            return False
        start = head.length
        for run in middle:
            start = run.end_of_first(text, start, end)
            if start < 0:
                return False
        return True

    return matches


class _Run(Protocol):
    """What stands between two stars: a fixed number of characters."""

    length: int

    def stands_at(self, text: str, start: int) -> bool:
        """Whether text[start : start + length] is this run; that much text is there."""

    def end_of_first(self, text: str, start: int, end: int) -> int:
        """Where the first occurrence within text[start:end] ends, -1 when there is none."""


class _Literal:
    def __init__(self, text: str) -> None:
        self.text = text
        self.length = len(text)

    def stands_at(self, text: str, start: int) -> bool:
        return text.startswith(self.text, start)

    def end_of_first(self, text: str, start: int, end: int) -> int:
        found = text.find(self.text, start, end)
        return found if found < 0 else found + self.length


class _Sets:
    """A run with at least one position that more than one character fits."""

    def __init__(self, positions: Sequence[_Ranges]) -> None:
        self.length = len(positions)
        self._positions = positions
        self._starts, self._masks = _masks(positions)

    def stands_at(self, text: str, start: int) -> bool:
        return all(
            any(low <= ord(text[start + index]) <= high for low, high in ranges)
            for index, ranges in enumerate(self._positions)
        )

    def end_of_first(self, text: str, start: int, end: int) -> int:
        known: dict[str, int] = {}
        state, complete = 0, 1 << (self.length - 1)  # bit i: the first i + 1 positions stand right here
        for index in range(start, end):
            character = text[index]
            mask = known.get(character)
            if mask is None:
                mask = known[character] = self._masks[bisect_right(self._starts, ord(character)) - 1]
            state = (state << 1 | 1) & mask
            if state & complete:
                return index + 1
        return -1


def _masks(positions: Sequence[_Ranges]) -> tuple[list[int], list[int]]:
    """Cut the code points into intervals, by their first one, and tell which positions each interval fits."""
    changes = {0: 0}
    for index, ranges in enumerate(positions):
        for low, high in ranges:
            changes[low] = changes.get(low, 0) ^ 1 << index
            changes[high + 1] = changes.get(high + 1, 0) ^ 1 << index
    starts = sorted(changes)
    masks, mask = [], 0
    for start in starts:
        mask ^= changes[start]
        masks.append(mask)
    return starts, masks


def _run(positions: Sequence[_Ranges]) -> _Run:
    if all(len(ranges) == 1 and ranges[0][0] == ranges[0][1] for ranges in positions):
        return _Literal("".join(chr(ranges[0][0]) for ranges in positions))
    return _Sets(positions)


def _split_at_stars(pattern: str) -> list[list[_Ranges]]:
    runs: list[list[_Ranges]] = [[]]
    characters = iter(pattern)
    for character in characters:
        if character == "*":
            runs.append([])
        elif character == "?":
            runs[-1].append(_ANY)
        elif character == "[":
            runs[-1].append(_read_set(characters))
        else:
            runs[-1].append(_just(_unescaped(character, characters)))
    return runs


def _just(character: str) -> _Ranges:
    return ((ord(character), ord(character)),)


def _unescaped(character: str, rest: Iterator[str]) -> str:
    if character != "\\":
        return character
    following = next(rest, None)
    if following is None:
        raise GlobError("a pattern cannot end in a single backslash")
    return following


def _read_set(rest: Iterator[str]) -> _Ranges:
    """Read a set after its `[`, through its `]`. A `-` first or last stands for itself."""
    members: list[tuple[str, bool]] = []  # a character, and whether it was escaped
    for character in rest:
        if character == "]":
            break
        members.append((_unescaped(character, rest), character == "\\"))
    else:
        raise GlobError("a set in a pattern lacks its closing ']'")
    negated = bool(members) and members[0] == ("^", False)
    if negated:
        del members[0]
    if not members:
        raise GlobError("a set in a pattern is empty")
    merged = _merged(_ranges(members))
    return _complement(merged) if negated else merged


def _ranges(members: Sequence[tuple[str, bool]]) -> list[tuple[int, int]]:
    ranges, index = [], 0
    while index < len(members):
        low = high = ord(members[index][0])
        if index + 2 < len(members) and members[index + 1] == ("-", False):
            high = ord(members[index + 2][0])
            index += 2
        if high < low:
            raise GlobError("a range in a pattern runs from high to low")
        ranges.append((low, high))
        index += 1
    return ranges


def _merged(ranges: list[tuple[int, int]]) -> _Ranges:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return tuple(merged)


def _complement(ranges: _Ranges) -> _Ranges:
    edges = [(-1, -1), *ranges, (_LAST_CHARACTER + 1, _LAST_CHARACTER + 1)]
    return tuple((left[1] + 1, right[0] - 1) for left, right in pairwise(edges) if left[1] + 1 < right[0])
