"""Patterns in RE2's language mean the same after they were put into the engine's."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.model.rule_pattern import MAX_CHARACTERS, PatternRefused, translated
from mainstem.model.rule_schema import compile_rule, faults


def matches(pattern: str, text: str) -> bool:
    return compile_rule({"pattern": pattern}).is_valid(text)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("^a.c$", "abc", "a\nc"),
        ("(?i)^foo|bar$", "xBAR", "xfoo"),
        ("((?i)a)b", "Ab", "aB"),
        ("(?i:a)b", "Ab", "AB"),
        ("(?s)a.b", "a\nb", "ab"),
        (r"\Aabc\z", "abc", "abc\n"),
        (r"^[\w-.]+@[\w-]+\.\w{2,}$", "a-b.c@d-e.io", "a@b"),
        ("^[[:alpha:]_-]+$", "a_B-c", "a1"),
        ("^[^[:digit:]]$", "x", "1"),
        ("^[]a]$", "]", "b"),
        ("^[^]a]$", "b", "]"),
        ("^[a&&b]$", "&", "c"),
        ("^[[x]$", "[", "]"),
        ("^a{,3}$", "a{,3}", "aaa"),
        ("^{x}]$", "{x}]", "x"),
        ("^a{2}b{1,2}$", "aabb", "ab"),
        (r"^\Qa.b*\E+$", "a.b**", "axb*"),
        (r"^\pL\p{Greek}\P{Greek}$", "aλ1", "aaa"),
        (r"^\p{^Greek}$", "a", "λ"),
        (r"^\x{1F600}\x41$", "😀A", "😀B"),
        (r"^(?P<year>\d{4})-(?<month>\d\d)$", "2026-03", "٢٠٢٦-03"),
        (r"^\/x\-\.\ $", "/x-. ", "/x-, "),
        (r"^\a\t\n$", "\a\t\n", "a\t\n"),
        ("^(é|日)+$", "é日", "e"),
        ("^a.*?b$", "a..b", "a"),
    ],
)
def test_a_pattern_means_what_it_means_in_re2(pattern: str, yes: str, no: str) -> None:
    assert faults({"pattern": pattern}) == []
    assert (matches(pattern, yes), matches(pattern, no)) == (True, False)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?=a)b", "look-around"),
        ("(?!a)", "look-around"),
        ("(?<=a)b", "look-around"),
        ("(?<!a)b", "look-around"),
        (r"(a)\1", "back references"),
        (r"(?P<n>a)\k<n>", "the escape"),
        ("(?P=n)", "it cannot be read"),
        ("(?>a)", "it cannot be read"),
        ("a(?i)b", "at the beginning of a group"),
        ("(?U)a", "the flags"),
        (r"\Z", "the escape"),
        (r"\C", "the escape"),
        ("a\\", "ends in a backslash"),
        ("[a", "has no end"),
        ("[a\\", "has no end"),
        ("[[:nothing:]]", "the class"),
        ("[[:^alpha:]]", "the class"),
        (r"[\b]", "no meaning"),
        (r"\x{D800}", "no character"),
        (r"\x{110000}", "no character"),
        (r"\p{Nothing}", "it cannot be read"),
        ("(a", "it cannot be read"),
        ("a)", "it cannot be read"),
        ("*", "it cannot be read"),
        ("a**", "it cannot be read"),
        ("(a{1000}){1000}", "takes too much memory"),
        ("a" * (MAX_CHARACTERS + 1), "longer than"),
    ],
)
def test_a_pattern_outside_the_language_is_refused_with_the_reason(pattern: str, reason: str) -> None:
    ((path, message),) = faults({"pattern": pattern})
    assert path == "pattern"
    assert reason in message


@given(st.text())
def test_quoted_text_matches_itself(text: str) -> None:
    text = text.replace("\\E", "")
    assert matches(f"^\\Q{text}\\E$", text)


@given(st.characters(exclude_categories=["Cs"]), st.characters(exclude_categories=["Cs"]))
def test_a_class_of_one_character_matches_it_alone(member: str, other: str) -> None:
    escaped = f"\\{member}" if member in "\\]^-[" else member
    assert matches(f"^[{escaped}]$", member)
    assert matches(f"^[{escaped}]$", other) == (member == other)


ATOMS = st.sampled_from(
    ["a", "b", "-", "]", "{", "}", "&", ".", "\\.", "\\d", "\\w", "\\S", "[ab-]", "[^a\\d]", "[\\w.]"]
)
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: (
        st.tuples(inner, inner).map("".join)
        | st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})")
        | inner.map("({})*".format)
        | inner.map("(?:{}){{1,2}}".format)
        | inner.map("(?i:{})?".format)
    ),
    max_leaves=8,
)


@given(PATTERNS, st.text("abAB-]{}&.1 ", max_size=6))
def test_patterns_that_python_has_too_match_alike(pattern: str, text: str) -> None:
    assert matches(f"^(?:{pattern})$", text) == bool(re.fullmatch(pattern, text, re.ASCII))


@given(st.text("ab\\[]^-(){}?*+|:=!<>P0123QExp.$,i&~ é", max_size=12))
def test_any_text_is_a_pattern_or_refused(text: str) -> None:
    found = faults({"pattern": text, "patternProperties": {text: True}})
    if not found:
        compile_rule({"pattern": text}).is_valid("a")
        return
    assert {path for path, _ in found} <= {"pattern", f"patternProperties.{text}"}


def test_time_is_in_proportion_to_the_text_for_patterns_that_make_others_backtrack() -> None:
    assert not matches("^(a+)+$", "a" * 30_000 + "b")


def test_a_refusal_is_a_value_error() -> None:
    with pytest.raises(PatternRefused):
        translated("(?=a)")
