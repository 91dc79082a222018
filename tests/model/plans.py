"""Tracking plans, and events to hold against them."""

from __future__ import annotations

from typing import Any

from mainstem.model.enforcement import Enforcer, Judged, Plan
from mainstem.model.snapshot import PlanConfig, RuleConfig, SchemaControls, SourceConfig


def rule(type: str, key: str, schema: dict[str, Any], version: float = 1) -> RuleConfig:
    return RuleConfig(type, key, version, schema)


def declaring(names: dict[str, Any], *required: str, container: str = "properties") -> dict[str, Any]:
    """A rule's schema as the plan editor writes it."""
    inside = {"type": "object", "properties": names, "required": list(required)}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "labels": {},
        "properties": {"context": {}, "traits": {}, "properties": {}, container: inside},
        "required": [container] if required else [],
    }


def plan(*rules: RuleConfig, **fields: Any) -> PlanConfig:
    return PlanConfig(fields.pop("id", "tp_1"), fields.pop("name", "Plan"), rules)


def judge(config: PlanConfig, payload: dict[str, Any], **controls: Any) -> Judged | None:
    """What becomes of an event at a source with these controls."""
    source = SourceConfig(
        "src", "ws", "src", "src", "m", "server", True, ("k",), {}, (), config.id, SchemaControls(**controls)
    )
    return Enforcer(source, Plan(config)).judge(payload["type"], payload)


def track(event: str = "E", **fields: Any) -> dict[str, Any]:
    return {"type": "track", "userId": "u", "event": event, **fields}


def protocols(judged: Judged | None) -> dict[str, Any]:
    assert judged is not None
    found: dict[str, Any] = judged.payload["context"]["protocols"]
    return found


def told(judged: Judged | None) -> list[tuple[str, str, str]]:
    """The violations of an event that goes on, or is blocked."""
    assert judged is not None
    return [(each.type, each.field, each.description) for each in judged.violations]
