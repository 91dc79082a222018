"""Every verdict on generated triggers and events is that of @segment/destination-subscriptions in Node."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from journeys.clients import LineProgram, node_program
from mainstem.model import trigger
from mainstem.model.event import EVENT_TYPES
from mainstem.model.trigger import TriggerError

pytestmark = pytest.mark.clients

FIELDS = [
    "type", "event", "name", "userId", "anonymousId", "groupId", "type.x", "properties", "properties.a",
    "properties.b.c", "properties.a.length", "properties.a.0", "properties\\.a\\[0\\]", "propertiesx",
    "traits.email", "context.library.name", "context.x",
]  # fmt: skip
OPERATORS = ["=", "!=", "<", "<=", ">", ">="]
ODD_OPERATORS = ["in", "contains", "starts_with", "exists", "not_contains", "is_true", "number_equals", "!", ".", "("]
VALUES = [
    '"track"', '"page"', '"A"', '"x@y.z"', '"5"', '""', '"*"', '"é😀"', "'track'", "5", "-1.5", "1e3", "5.", "007",
    "0.00001", "123456789012345678901234567890", "-", "true", "false", "null", "track", "and", "[1,2]",
]  # fmt: skip
PATTERNS = ['"A*"', '"*z"', '"*x*"', '"A"', '""', "A*", "'A*'", '"*"', "5", '"tr*"']
ODDITIES = ["all", "length(properties.a) > 3", "()", "properties.\\.\\[ = 1", "properties.\\[ = 1"]
LETTERS = list(" ()!=<>\".,'\\n_-5aoé😀[]\t\r\n$")
SCALARS: list[Any] = [
    None, True, False, 0, 1, 5, 5.0, -1.5, 1e300, 2**60 + 1, "A", "", "5", "0", "track", "x@y.z", "true", "null",
    "abcd", "é😀", "*", "'track'", "eos", [], [1, "A"], [[1]], {}, {"c": "A"}, {"c": 5},
]  # fmt: skip


def condition(rng: random.Random) -> str:
    field, kind = rng.choice(FIELDS), rng.random()
    negation = rng.choice(["", "!"])
    if kind < 0.6:
        operator = rng.choice(OPERATORS if rng.random() < 0.8 else ODD_OPERATORS)
        return f"{field} {operator} {rng.choice(VALUES)}"
    if kind < 0.75:
        return f"{negation}contains({field}, {rng.choice(VALUES)})"
    return f"{negation}match({field}, {rng.choice(PATTERNS)})" if kind < 0.9 else rng.choice(ODDITIES)


def group(rng: random.Random, depth: int = 0) -> str:
    parts = []
    for _ in range(rng.randint(1, 3)):
        deeper = depth < 2 and rng.random() < 0.25
        parts.append(f"{rng.choice(['', '!'])}({group(rng, depth + 1)})" if deeper else condition(rng))
    text = parts[0]
    for part in parts[1:]:
        text += rng.choice([" and ", " or ", " and ", " and ", " ", "and"]) + part
    return text


def damaged(rng: random.Random, text: str) -> str:
    if rng.random() < 0.7:
        return text
    letters = list(text)
    for _ in range(rng.randint(1, 2)):
        place = rng.randrange(len(letters))
        letters[place : place + 1] = [rng.choice(LETTERS)] if rng.random() < 0.5 else []
    return "".join(letters) if rng.random() < 0.8 else text[: rng.randrange(len(text))]


def event(rng: random.Random) -> dict[str, Any]:
    made: dict[str, Any] = {"type": rng.choice(sorted(EVENT_TYPES))}
    for key in ("event", "name", "userId"):
        if rng.random() < 0.8:
            made[key] = rng.choice(SCALARS) if rng.random() < 0.6 else rng.choice(["track", "A"])
    for key in ("properties", "traits", "context"):
        kind = rng.random()
        if kind < 0.1:
            made[key] = rng.choice(SCALARS)
        elif kind < 0.9:
            keys = ("a", "b", "email", "library", "x", "properties")
            made[key] = {each: rng.choice(SCALARS) for each in keys if rng.random() < 0.7}
    return made


@pytest.fixture(scope="module")
def segments() -> Iterator[LineProgram]:
    program = LineProgram(node_program("actions_language.js"))
    yield program
    program.close()


@pytest.mark.parametrize("seed", range(4))
def test_every_verdict_is_that_of_segments_own_parser(segments: LineProgram, seed: int) -> None:
    rng = random.Random(seed)
    valid = fired = 0
    for _ in range(400):
        text, events = damaged(rng, group(rng)), [event(rng) for _ in range(6)]
        answer = segments.ask({"trigger": text, "events": events})
        expected = [verdict is True for verdict in answer["verdicts"]]
        try:
            read = trigger.parse(text)
        except TriggerError:
            assert not answer["valid"] or "fails" in answer["verdicts"], text
            assert not any(expected), text
            continue
        assert answer["valid"], text
        assert [read.matches(each) for each in json.loads(json.dumps(events))] == expected, text
        valid, fired = valid + 1, fired + sum(expected)
    assert valid > 100, "too few of the generated triggers parse for this to prove anything"
    assert fired > 50


def test_the_recorded_cases_are_what_segments_own_parser_says(segments: LineProgram) -> None:
    from model import test_trigger

    recorded = next(each for each in test_trigger.test_a_trigger_fires_as_the_runner_of_actions_says.pytestmark)
    for text, sent, verdict in recorded.args[1]:
        (answer,) = segments.ask({"trigger": text, "events": [sent]})["verdicts"]
        assert (answer is True) is verdict, text
