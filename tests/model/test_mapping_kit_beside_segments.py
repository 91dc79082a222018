"""Mappings are taken and refused as the mapping kit of @segment/actions-core takes, refuses and resolves them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from journeys.clients import LineProgram, node_program
from mainstem.model import mapping_kit
from model.test_mapping_kit import ACCEPTED, REFUSED

pytestmark = pytest.mark.clients

EVENT = {
    "type": "track",
    "properties": {
        "email": "Ada@Example.com",
        "products": [{"sku": "s1"}, {"sku": "s2"}],
        "n": 5,
        "o": {"a": {"b": 1}},
    },
}


@pytest.fixture(scope="module")
def segments() -> Iterator[LineProgram]:
    program = LineProgram(node_program("actions_language.js"))
    yield program
    program.close()


def test_what_is_accepted_resolves_in_segments_mapping_kit(segments: LineProgram) -> None:
    for value in ACCEPTED:
        answer = segments.ask({"mapping": {"f": value}, "event": EVENT})
        assert answer["valid"], (value, answer)
        assert "fails" not in answer, (value, answer)


def test_what_is_refused_is_refused_or_fails_in_segments_mapping_kit(segments: LineProgram) -> None:
    for value, _ in REFUSED:
        answer = segments.ask({"mapping": {"f": value}, "event": EVENT})
        assert not answer["valid"] or "fails" in answer, value


def some(rng: random.Random, depth: int = 0) -> Any:
    """A value of a mapping, mostly sound."""
    kind = rng.random()
    if depth > 2 or kind < 0.2:
        return rng.choice(["text", "$.properties.email", "", 5, True, None, [], {}])
    if kind < 0.3:
        return {rng.choice(["a", "b", "_metadata"]): some(rng, depth + 1)}
    if kind < 0.35:
        return [some(rng, depth + 1) for _ in range(rng.randint(0, 2))]
    made = {rng.choice(NAMES): body(rng, depth)}
    if rng.random() < 0.05:
        made[rng.choice(["a", "@path", "_metadata"])] = 1
    return made


NAMES = [
    "@if", "@case", "@replace", "@arrayPath", "@path", "@json", "@flatten", "@merge", "@template", "@literal",
    "@transform", "@excludeWhenNull", "@liquid", "@other",
]  # fmt: skip


def body(rng: random.Random, depth: int) -> Any:
    """What a directive holds: any of the fields that any directive has."""
    kind = rng.random()
    if kind < 0.3:
        return rng.choice(["$.properties.email", "{{properties.n}}", "$.properties.products"])
    if kind < 0.4:
        return some(rng, depth + 1)
    if kind < 0.5:
        return ["$.properties.products", some(rng, depth + 1)][: rng.randint(0, 2)]
    fields: dict[str, Any] = {
        "exists": some(rng, depth + 1), "blank": some(rng, depth + 1), "then": some(rng, depth + 1),
        "else": some(rng, depth + 1), "operator": rng.choice(["lower", "upper", "x"]), "value": some(rng, depth + 1),
        "pattern": rng.choice(["a", "", "b" * 11]), "replacement": rng.choice(["a", "", "b" * 11, 5]),
        "pattern2": rng.choice(["a", "", "b" * 11]), "replacement2": rng.choice(["a", "", "b" * 11]),
        "global": rng.choice([True, False, 1]), "ignorecase": rng.choice([True, "x"]),
        "mode": rng.choice(["encode", "decode", "x"]), "separator": rng.choice([".", "", 5]),
        "objects": [some(rng, depth + 1)], "direction": rng.choice(["left", "right", "x"]),
        "apply": some(rng, depth + 1), "mapping": some(rng, depth + 1),
    }  # fmt: skip
    return {name: value for name, value in fields.items() if rng.random() < 0.7}


def test_no_generated_mapping_is_accepted_that_segments_mapping_kit_refuses(segments: LineProgram) -> None:
    rng, accepted = random.Random(1), 0
    for _ in range(1_500):
        mapping = {"f": some(rng)}
        if mapping_kit.faults(mapping):
            continue
        answer = segments.ask({"mapping": mapping})
        assert answer["valid"], (mapping, answer)
        accepted += 1
    assert accepted > 150, "too few of the generated mappings are sound for this to prove anything"
