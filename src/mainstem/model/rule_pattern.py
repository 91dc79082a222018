"""Regular expressions of tracking plans: RE2's language, put into the words of the engine that judges.

RE2 has no look-around and no back references, so that a match takes time linear in the text. The engine keeps
that promise and reads ECMAScript's language without those two; what RE2 writes otherwise is rewritten here.
Source: Protocols guide, "Regular expressions" (RE2); RE2 syntax reference.
"""

from __future__ import annotations

import functools
import re
from typing import Final

MAX_CHARACTERS: Final = 4_096
_LOOK_AROUND: Final = ("(?=", "(?!", "(?<=", "(?<!")
_ENDS: Final = {"\\A": "^", "\\z": "$"}
_PLAIN_ESCAPES: Final = frozenset("dDsSwWbBftnrv")
_CLASSES: Final = frozenset("dDsSwW")
_POSIX: Final = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": "\\x00-\\x7F", "blank": "\\t\\x20", "cntrl": "\\x00-\\x1F\\x7F",
    "digit": "0-9", "graph": "\\x21-\\x7E", "lower": "a-z", "print": "\\x20-\\x7E",
    "punct": "\\x21-\\x2F\\x3A-\\x40\\x5B-\\x60\\x7B-\\x7E", "space": "\\t\\n\\v\\f\\r\\x20", "upper": "A-Z",
    "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_TOKEN: Final = re.compile(
    r"""(?P<quoted>\\Q.*?(?:\\E|\Z))
      | (?P<escape>\\(?:x\{[0-9A-Fa-f]+\}|x[0-9A-Fa-f]{2}|[pP]\{\^?\w+\}|[pP]\w|.))
      | (?P<group>\(\?(?:P?<\w+>|<?[=!]|[a-zA-Z-]*[:)])|\()
      | (?P<repeat>\{[0-9]+(?:,[0-9]*)?\})
      | (?P<bracket>\[)
      | (?P<other>.)""",
    re.DOTALL | re.VERBOSE,
)
_POSIX_CLASS: Final = re.compile(r"\[:(\^?)(\w+):\]")
_FLAGS: Final = re.compile(r"\(\?([ims]*(?:-[ims]+)?)([:)])")


class PatternRefused(ValueError):
    """A pattern that is not in the supported language; the text says what is in the way."""


@functools.lru_cache(maxsize=1024)
def translated(pattern: str) -> str:
    """The pattern as the engine reads it. Raises PatternRefused."""
    if len(pattern) > MAX_CHARACTERS:
        raise PatternRefused(f"it is longer than {MAX_CHARACTERS} characters")
    return _Translation(pattern).run()


class _Translation:
    """One pass over a pattern; `closers` are the brackets that each open group needs at its end."""

    def __init__(self, pattern: str) -> None:
        self._pattern, self._at = pattern, 0
        self._out: list[str] = []
        self._closers = [""]

    def run(self) -> str:
        """Every token in turn."""
        while self._at < len(self._pattern):
            token = _TOKEN.match(self._pattern, self._at)
            assert token is not None
            fresh = not self._out or self._out[-1].startswith("(")
            self._at = token.end()
            self._out.append(self._read(token.lastgroup or "", token.group(), fresh))
        return "".join(self._out) + "".join(reversed(self._closers))

    def _read(self, kind: str, text: str, fresh: bool) -> str:
        if kind == "quoted":
            return "".join(map(_literal, text[2:].removesuffix("\\E")))
        if kind == "escape":
            return _ENDS.get(text) or _escape(text)
        if text == "\\":
            raise PatternRefused("it ends in a backslash")
        if kind == "group":
            return self._group(text, fresh)
        if kind == "bracket":
            return self._class()
        if text == ")":
            return (self._closers.pop() if len(self._closers) > 1 else "") + ")"
        return text if kind == "repeat" or text in "^$.|*+?" else _literal(text)

    def _group(self, text: str, fresh: bool) -> str:
        if text in _LOOK_AROUND:
            raise PatternRefused(f"look-around, {text}…), is not supported")
        flags = _FLAGS.fullmatch(text)
        if text.startswith("(?") and flags is None and not text.endswith(">"):
            raise PatternRefused(f"the flags of {text} are not supported")
        if text.endswith(")"):
            return self._flags_of_rest(text, fresh)
        self._closers.append("")
        return text.replace("(?P<", "(?<")

    def _flags_of_rest(self, text: str, fresh: bool) -> str:
        """(?i) holds to the end of the group that it stands in: the same as a group around all of that."""
        if not fresh:
            raise PatternRefused(f"flags such as {text} are supported at the beginning of a group only")
        self._closers[-1] += ")"
        return text[:-1] + ":"

    def _class(self) -> str:
        """What stands between square brackets, the first bracket being read already."""
        out, after_class, first = ["["], False, True
        if self._pattern.startswith("^", self._at):
            out.append("^")
            self._at += 1
        while not self._pattern.startswith("]", self._at) or first:
            posix = _POSIX_CLASS.match(self._pattern, self._at)
            token = posix or _TOKEN.match(self._pattern, self._at)
            if token is None:
                raise PatternRefused("a class that [ opens has no end")
            text = token.group() if posix or token.lastgroup == "escape" else self._pattern[self._at]
            self._at += len(text)
            out.append(_posix(posix) if posix else _member(text, after_class))
            after_class, first = bool(posix) or text[1:2] in {*_CLASSES, "p", "P"}, False
        self._at += 1
        return "".join(out) + "]"


def _posix(found: re.Match[str]) -> str:
    if found[1] or found[2] not in _POSIX:
        raise PatternRefused(f"the class {found[0]} is not supported")
    return _POSIX[found[2]]


def _member(text: str, after_class: bool) -> str:
    """A character or an escape in a class; a dash behind \\w stands for itself."""
    if text.startswith("\\") and len(text) > 1:
        if text in {"\\b", "\\B"}:
            raise PatternRefused(f"{text} has no meaning in a class")
        return _escape(text)
    return text if text == "-" and not after_class else _literal(text)


def _escape(text: str) -> str:
    name = text[1:2]
    if name.isdigit():
        raise PatternRefused(f"back references and octal numbers, {text}, are not supported")
    if text.startswith("\\x{"):
        return _literal(_character(int(text[3:-1], 16)))
    if name in {"p", "P"}:
        return _property(text)
    if (name == "x" and len(text) == 4) or name in _PLAIN_ESCAPES:
        return text
    if name == "a":
        return "\\x07"
    if name.isalpha() or not name:
        raise PatternRefused(f"the escape {text} is not supported")
    return _literal(name)


def _property(text: str) -> str:
    """\\pL, \\p{Greek} and \\p{^Greek}."""
    name = text[3:-1] if text[2:3] == "{" else text[2:]
    negated = (text[1] == "P") != name.startswith("^")
    return ("\\P{" if negated else "\\p{") + name.removeprefix("^") + "}"


def _character(code: int) -> str:
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise PatternRefused(f"there is no character {code:X}")
    return chr(code)


def _literal(character: str) -> str:
    """A character that stands for itself."""
    plain = character.isalnum() or ord(character) > 126 or character in " _,:;<>=!@#%&~'\"`"
    return character if plain and character not in "&~" else f"\\x{ord(character):02X}"
