"""What a tracking plan does to the events of a source.

The rule of the event is asked first, then the common rule, of what the former left. Track, identify and group
calls may be blocked or trimmed, as the schema controls of the source say; blocking beats omitting. Page and screen
calls are only looked at: by the PAGE or SCREEN rules of their name and of all names, and by the TRACK rule
`Page Viewed` or `Screen Viewed`, as which they are planned. Alias calls are never looked at.

What was taken out or found is told in `context.protocols` of the event, beside what the client wrote there. Only
values inside `properties` (identify and group: `traits`) are ever taken out; of a list, the property that holds it.
A missing property cannot be taken out: such an event passes.

Source: product guide, "Schema configuration", "Common JSON schema", "Tracking plan versioning". Judgements: the order
of the steps, page and screen, that an event without a rule has no planned properties, the naming of nested ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import msgspec
from jsonschema_rs import Validator

from mainstem.model.planned_names import PlannedNames, planned_names
from mainstem.model.rule_schema import compile_rule
from mainstem.model.snapshot import PlanConfig, RuleConfig, Snapshot, SourceConfig
from mainstem.model.violation import Fault, Path, Violation, faults

MAX_VIOLATIONS: Final = 100
"""As many violations of one event are told at most: each may become an event of its own (judgement)."""

Payload = dict[str, Any]

_CONTAINER: Final = {"track": "properties", "identify": "traits", "group": "traits"}
_VIEWED: Final = {"page": "Page Viewed", "screen": "Screen Viewed"}


class Rule:
    """A version of a rule. It is compiled when an event needs it: a plan may have 2,000 rules, at a millisecond."""

    def __init__(self, config: RuleConfig) -> None:
        self._schema = config.json_schema
        self._names: dict[str, PlannedNames] = {}

    @cached_property
    def is_valid(self) -> Callable[[Payload], bool]:
        """Whether an event keeps the rule."""
        return self._validator.is_valid

    def faults(self, payload: Payload) -> list[Fault]:
        """How an event breaks the rule; empty when it does not."""
        if self.is_valid(payload):
            return []
        if self._refers:
            payload = _shallow(payload)  # every level that a rule refers back to is quoted whole: work by the square
        try:
            return faults(self._validator.iter_errors(payload), self._schema)
        except ValueError:  # it nests deeper than the validator can quote, and than a rule can look
            return faults(self._validator.iter_errors(_shallow(payload)), self._schema)

    def names(self, container: str) -> PlannedNames:
        """The names that the rule plans in "properties" or "traits"."""
        known = self._names.get(container)
        if known is None:
            known = self._names[container] = planned_names(self._schema, container)
        return known

    @cached_property
    def _refers(self) -> bool:
        return b'"$ref"' in msgspec.json.encode(self._schema)

    @cached_property
    def _validator(self) -> Validator:
        return compile_rule(self._schema)


def _shallow(value: Any, levels: int = 100) -> Any:
    """The value with null in the place of objects and lists below so many levels."""
    if type(value) is dict:
        return {key: _shallow(each, levels - 1) for key, each in value.items()} if levels else None
    if type(value) is list:
        return [_shallow(each, levels - 1) for each in value] if levels else None
    return value


class _Versions(msgspec.Struct, frozen=True):
    """The versions of a rule. Which one holds is told by `context.protocols.event_version`, when that is an
    integer and there is such a version; else it is the oldest."""

    oldest: Rule
    others: Mapping[float, Rule]

    def of(self, payload: Payload) -> Rule:
        """The version that the event wants to be judged by."""
        context = payload.get("context")
        protocols = context.get("protocols") if type(context) is dict else None
        wanted = protocols.get("event_version") if type(protocols) is dict else None
        return self.others.get(wanted, self.oldest) if type(wanted) is int else self.oldest


class Plan:
    """A tracking plan, ready for looking up the rules of an event."""

    def __init__(self, config: PlanConfig) -> None:
        self.config = config
        by_identity: dict[tuple[str, str], dict[float, Rule]] = {}
        for rule in config.rules:
            by_identity.setdefault((rule.type, rule.key), {})[rule.version] = Rule(rule)
        self._rules: dict[str, dict[str, _Versions]] = {}
        for (type_, key), versions in by_identity.items():
            self._rules.setdefault(type_, {})[key] = _versions(versions)

    def rule(self, type: str, key: Any, payload: Payload) -> Rule | None:
        """The version of a rule that holds for the event; None when the plan has no such rule, or the key is no
        name."""
        versions = self._rules.get(type, _NO_RULES).get(key) if isinstance(key, str) else None
        return None if versions is None else versions.of(payload) if versions.others else versions.oldest


def _versions(by_version: dict[float, Rule]) -> _Versions:
    oldest = min(by_version)
    return _Versions(by_version[oldest], by_version if len(by_version) > 1 else {})


_NO_RULES: Final[Mapping[str, _Versions]] = {}


class Controls(msgspec.Struct, frozen=True):
    """The schema controls of one type of call; `common` is ALLOW, BLOCK or OMIT."""

    block_unplanned: bool = False
    omit_unplanned: bool = False
    block_violating: bool = False
    omit_violating: bool = False
    common: str = "ALLOW"


class Judged(msgspec.Struct, frozen=True):
    """What became of an event: `payload` is what is left of it (all, when it is blocked), with what was found in
    `context.protocols`; `reason` is why it is blocked, "" when it goes on."""

    payload: Payload
    reason: str
    violations: Sequence[Violation]


class Enforcer:
    """A tracking plan at work at a source."""

    def __init__(self, source: SourceConfig, plan: Plan) -> None:
        self.source = source
        self.plan = plan
        schema = source.schema
        self._controls = {
            "track": Controls(
                not schema.allow_unplanned_events,
                not schema.allow_unplanned_event_properties,
                not schema.allow_event_on_violations,
                not schema.allow_properties_on_violations,
                _common(schema.track_common),
            ),
            "identify": Controls(
                omit_unplanned=not schema.allow_unplanned_identify_traits,
                omit_violating=not schema.allow_identify_traits_on_violations,
                common=_common(schema.identify_common),
            ),
            "group": Controls(
                omit_unplanned=not schema.allow_unplanned_group_traits,
                omit_violating=not schema.allow_group_traits_on_violations,
                common=_common(schema.group_common),
            ),
        }

    def judge(self, type_: str, payload: Payload) -> Judged | None:
        """What becomes of an event; None when it keeps the plan and goes on as it is. `payload` stays as it is:
        what is left is another object."""
        controls = self._controls.get(type_)
        if controls is not None:
            return self._enforce(type_, payload, controls)
        return self._look_at(type_, payload) if type_ in _VIEWED else None

    def _look_at(self, type_: str, payload: Payload) -> Judged | None:
        name = payload.get("name")
        rules = [
            self.plan.rule(type_.upper(), name, payload) if name else None,
            self.plan.rule(type_.upper(), "", payload),
            self.plan.rule("TRACK", _VIEWED[type_], payload),
            self.plan.rule("COMMON", "", payload),
        ]
        found = [fault for rule in rules if rule is not None for fault in rule.faults(payload)]
        return self._judged(_Trimmed(payload, found=found)) if found else None

    def _enforce(self, type_: str, payload: Payload, controls: Controls) -> Judged | None:
        if type_ == "track":
            rule = self.plan.rule("TRACK", payload.get("event"), payload)
        else:
            rule = self.plan.rule(type_.upper(), "", payload)
        common = self.plan.rule("COMMON", "", payload)
        container = _CONTAINER[type_]
        if (
            (not controls.block_unplanned if rule is None else rule.is_valid(payload))
            and (common is None or common.is_valid(payload))
            and (not controls.omit_unplanned or _all_planned(rule, payload, container))
        ):
            return None
        event = _Trimmed(payload, container)
        reason = _standard(event, rule, common, controls) or _by_common(event, common, controls)
        if reason:
            return self._judged(_Trimmed(payload, found=event.found), reason)
        return self._judged(event) if event.found or event.payload is not payload else None

    def _judged(self, event: _Trimmed, reason: str = "") -> Judged:
        violations = list(dict.fromkeys(fault.violation for fault in event.found))[:MAX_VIOLATIONS]
        return Judged(event.stamped(self.source.id, violations), reason, violations)


def _all_planned(rule: Rule | None, payload: Payload, container: str) -> bool:
    """Whether `omit_unplanned` would find nothing."""
    values = payload.get(container)
    if type(values) is not dict or not values:
        return True
    return rule is not None and rule.names(container).covers(values)


def _standard(event: _Trimmed, rule: Rule | None, common: Rule | None, controls: Controls) -> str:
    """Hold the event to its own rule; returns the reason to block it, "" when it goes on."""
    if rule is None and controls.block_unplanned:
        event.found += common.faults(event.payload) if common is not None else ()
        return "unplanned_and_schema_violation" if event.found else "unplanned"
    if rule is not None and not rule.is_valid(event.payload):
        event.found += rule.faults(event.payload)
        if controls.block_violating:
            return "schema_violation"
    if controls.omit_unplanned:
        event.omit_unplanned(rule)
    if rule is not None and event.found and controls.omit_violating:
        event.omit_violating(rule, event.found)
    return ""


def _by_common(event: _Trimmed, common: Rule | None, controls: Controls) -> str:
    """Hold what is left to the common rule, likewise."""
    if common is None or common.is_valid(event.payload):
        return ""
    found = common.faults(event.payload)
    event.found += found
    if controls.common == "OMIT":
        event.omit_violating(common, found)
    return "common_schema_violation" if controls.common == "BLOCK" else ""


def _common(action: str) -> str:
    return "OMIT" if action.startswith("OMIT") else action


class _Trimmed:
    """An event on its way through the rules: what is left of it, what was taken out, and what was found."""

    def __init__(self, payload: Payload, container: str = "", found: list[Fault] | None = None) -> None:
        self.payload = payload
        self.found: list[Fault] = found or []
        self._container = container
        self._omitted: list[str] = []
        self._omitted_on_violation: list[str] = []

    def omit_unplanned(self, rule: Rule | None) -> None:
        """Take out the names that the rule does not plan; an event without a rule has none that are planned."""
        values = self.payload.get(self._container)
        if type(values) is not dict:
            return
        names = PlannedNames() if rule is None else rule.names(self._container)
        trimmed = names.trim(values, self._omitted)
        if trimmed is not values:
            self.payload = {**self.payload, self._container: trimmed}

    def omit_violating(self, rule: Rule, found: Sequence[Fault]) -> None:
        """Take out what breaks the rule, until nothing is left that does and could be taken out."""
        while True:
            doomed = self._doomed(found)
            trimmed = _without(self.payload, doomed, (), self._omitted_on_violation)
            if trimmed is self.payload:
                return
            self.payload = trimmed
            found = rule.faults(trimmed)

    def _doomed(self, found: Iterable[Fault]) -> _Doomed:
        """The paths at fault inside the container, as a tree; a list is at fault for what it holds."""
        doomed: _Doomed = {}
        for fault in found:
            path = fault.culprit or ()
            while path and type(path[-1]) is int:
                path = path[:-1]
            if len(path) > 1 and path[0] == self._container:
                _doom(doomed, path)
        return doomed

    def stamped(self, source_id: str, violations: Sequence[Violation]) -> Payload:
        """What is left, with `context.protocols`. A context that is no object stays as the client sent it."""
        context = self.payload.get("context")
        if context is not None and type(context) is not dict:
            return self.payload
        before = context.get("protocols") if context else None
        protocols = {
            **(before if type(before) is dict else {}),
            "sourceId": source_id,
            "omitted": _each_once(self._omitted),
            "omitted_on_violation": _each_once(self._omitted_on_violation),
            "violations": [msgspec.structs.asdict(each) for each in violations],
        }
        return {**self.payload, "context": {**(context or {}), "protocols": protocols}}


_Doomed = dict[str | int, Any]  # what to take out, by key or index: True, or the same again for what is inside


def _doom(doomed: _Doomed, path: Path) -> None:
    for part in path[:-1]:
        inner = doomed.setdefault(part, {})
        if inner is True:
            return
        doomed = inner
    doomed[path[-1]] = True


def _without(value: Any, doomed: _Doomed, at: Path, omitted: list[str]) -> Any:
    """The value without what is doomed, whose names are added to `omitted`; the same object when none is there."""
    changed: dict[Any, Any] = {}
    for part, inner in doomed.items():
        if not _holds(value, part):
            continue
        if inner is True:
            changed[part] = _GONE
            omitted.append(".".join("$" if type(each) is int else str(each) for each in (*at, part)[1:]))
        else:
            after = _without(value[part], inner, (*at, part), omitted)
            if after is not value[part]:
                changed[part] = after
    if not changed:
        return value
    if type(value) is list:
        return [changed.get(place, each) for place, each in enumerate(value)]
    return {key: changed.get(key, each) for key, each in value.items() if changed.get(key) is not _GONE}


_GONE: Final = object()


def _holds(value: Any, part: str | int) -> bool:
    if type(part) is int:
        return type(value) is list and part < len(value)
    return type(value) is dict and part in value


def _each_once(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


class Enforcers:
    """The tracking plan at each source, ready when first needed and kept as long as what is published of both is
    the same object."""

    def __init__(self) -> None:
        self._enforcers: dict[str, Enforcer] = {}
        self._plans: dict[str, Plan] = {}

    def of(self, source: SourceConfig, snapshot: Snapshot) -> Enforcer | None:
        """The plan at work at this source; None when it has none."""
        config = snapshot.plans.get(source.tracking_plan_id)
        if config is None:
            return None
        known = self._enforcers.get(source.id)
        if known is None or known.source is not source or known.plan.config is not config:
            known = self._enforcers[source.id] = Enforcer(source, self._plan(config))
        return known

    def _plan(self, config: PlanConfig) -> Plan:
        known = self._plans.get(config.id)
        if known is None or known.config is not config:
            known = self._plans[config.id] = Plan(config)
        return known

    def forget_others(self, snapshot: Snapshot) -> None:
        """Forget the sources and plans that `snapshot` does not have."""
        self._enforcers = {key: each for key, each in self._enforcers.items() if key in snapshot.sources}
        self._plans = {key: each for key, each in self._plans.items() if key in snapshot.plans}
