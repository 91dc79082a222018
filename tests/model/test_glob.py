import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.model.glob import GlobError, compile_glob

CASES = {
    "a star matches zero or more characters": ("a*d", "abcd", True),
    "a star matches the empty text": ("*", "", True),
    "a star matches line breaks": ("a*b", "a\n\nb", True),
    "a star matches slashes": ("/a*c", "/a/b/c", True),
    "a star matches at the beginning": ("*d", "abcd", True),
    "two stars are one": ("a**d", "ad", True),
    "what lies between two stars may not overlap its ends": ("ab*ba", "aba", False),
    "parts between stars stand in order": ("*b*a*", "ab", False),
    "the whole text must match": ("ab", "abc", False),
    "a prefix must stand at the start": ("b*", "abc", False),
    "a question mark is one character": ("a??d", "abcd", True),
    "a question mark is not none": ("a?", "a", False),
    "a question mark is one character of any plane": ("?", "😀", True),
    "case matters": ("button*", "Button Clicked", False),
    "an escaped star is itself": (r"ab\*d", "ab*d", True),
    "an escaped star is nothing else": (r"ab\*d", "abcd", False),
    "an escaped letter is itself": (r"\a", "a", True),
    "an escaped backslash is itself": (r"\\", "\\", True),
    "a set is one of its characters": ("ab[cC]d", "abCd", True),
    "a range holds both its ends": ("[b-c][b-c]", "bc", True),
    "a range minds case": ("ab[A-Z]d", "abcd", False),
    "several ranges in one set": ("[a-cx-z1]", "y", True),
    "a dash at the start of a set is itself": ("[-a]", "-", True),
    "a dash at the end of a set is itself": ("[a-]", "-", True),
    "an escaped dash makes no range": (r"[a\-z]", "m", False),
    "an escaped bracket is a member": (r"[\]]", "]", True),
    "a caret negates a set": ("[^a]", "b", True),
    "a negated set excludes its characters": ("[^a-c]", "b", False),
    "a negated set still needs a character": ("[^a]", "", False),
    "an escaped caret does not negate": (r"[\^a]", "^", True),
    "a caret later in a set is itself": ("[a^]", "^", True),
    "an exclamation mark does not negate": ("[!a]", "a", True),
    "a closing bracket outside a set is itself": ("a]", "a]", True),
    "sets are found between stars": ("*[0-9]x*", "abc7xyz", True),
    "sets are anchored at the end": ("*[0-9]", "abc7x", False),
    "overlapping candidates between stars": ("*a?c*", "aabc", True),
    "the empty pattern matches the empty text": ("", "", True),
    "the empty pattern matches nothing else": ("", "a", False),
}


@pytest.mark.parametrize(("pattern", "text", "matches"), CASES.values(), ids=CASES.keys())
def test_a_pattern_means_what_the_reference_says(pattern: str, text: str, matches: bool) -> None:
    assert compile_glob(pattern)(text) is matches


MALFORMED = {
    "[": "closing",
    "a[bc": "closing",
    r"[a\]": "closing",
    "[]": "empty",
    "[^]": "empty",
    "[z-a]": "high to low",
    "a\\": "backslash",
    "[a\\": "backslash",
}


@pytest.mark.parametrize(("pattern", "why"), MALFORMED.items(), ids=MALFORMED.keys())
def test_a_malformed_pattern_is_an_error(pattern: str, why: str) -> None:
    with pytest.raises(GlobError, match=why):
        compile_glob(pattern)


def test_a_pattern_may_have_5_kb() -> None:
    assert compile_glob("é" * 2_560)("é" * 2_560)
    with pytest.raises(GlobError, match="5120 bytes"):
        compile_glob("é" * 2_560 + "x")


@pytest.mark.parametrize(
    "pattern",
    ["a*" * 2_500 + "b", "*" + "a" * 5_000 + "b*", "*" + "a?" * 2_000 + "b*", "*" + "[a-z]" * 1_000 + "[0]*"],
    ids=["many stars", "a long literal", "a long run with gaps", "a long run of sets"],
)
def test_no_pattern_makes_matching_explode(pattern: str) -> None:
    assert compile_glob(pattern)("a" * 32_000) is False


def test_a_set_with_thousands_of_members_meets_a_text_of_thousands_of_characters() -> None:
    pattern = "*[" + "".join(chr(0x4E00 + 2 * index) for index in range(1_600)) + "][0]*"
    assert compile_glob(pattern)("".join(chr(0x4E00 + index) for index in range(10_000))) is False


def as_regex(pattern: str) -> str:
    """An independent reading of the same pattern, for short texts."""
    pieces = re.findall(r"\\.|\[(?:\\.|[^\]\\])*\]|.", pattern, re.DOTALL)
    meaning = {"*": ".*", "?": "."}
    return "".join(meaning.get(each, each if len(each) > 1 else re.escape(each)) for each in pieces)


pieces = st.sampled_from(
    ["*", "*", "?", "a", "b", "c", "-", "[ab]", "[^a]", "[b-d]", "[^b-c]", r"\*", r"\?", "[-b]", r"[\]a]"]
)


@given(st.lists(pieces, max_size=8).map("".join), st.text(alphabet="abcd-*?]", max_size=10))
def test_patterns_agree_with_regular_expressions(pattern: str, text: str) -> None:
    expected = re.fullmatch(as_regex(pattern), text, re.DOTALL) is not None
    assert compile_glob(pattern)(text) is expected


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_pattern_matches_or_not_or_is_malformed(pattern: str, text: str) -> None:
    try:
        matches = compile_glob(pattern)
    except GlobError:
        return
    assert matches(text) in (True, False)


@given(st.text(max_size=20), st.text(max_size=5), st.text(max_size=5))
def test_an_escaped_text_matches_itself_between_stars(text: str, before: str, after: str) -> None:
    escaped = "".join("\\" + character for character in text)
    assert compile_glob(escaped)(text)
    assert compile_glob(f"*{escaped}*")(before + text + after)
