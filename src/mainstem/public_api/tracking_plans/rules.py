"""The rules of a tracking plan: an event's name or type, a version, and the JSON Schema that the event should keep.

A rule is the one with its type, key and version. Its schema is returned as it was sent, key for key.
Source: Public API reference, tag "Tracking Plans" (200 rules a call); product guide, "Tracking plan" (2,000 rules a
plan). Judgements: 400 for a rule too many and for a schema that cannot be used, 422 for a key that the type of rule
does not have and for the same rule twice in a replacement, 409 for a new name that another rule has, 404 for the
removal of a rule that is not there; such a call changes nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select

from mainstem.errors import BadRequest, Conflict, Fault, InputInvalid, NotFound
from mainstem.model import rule_schema
from mainstem.model.snapshot import PlanConfig, RuleConfig
from mainstem.public_api.labels import StatusOutput
from mainstem.public_api.tracking_plans import plans
from mainstem.public_api.tracking_plans.plans import tracking_plan_rules, tracking_plans
from mainstem.rest import rows
from mainstem.rest.limits import per_minute
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import PageInput, Pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.rows import moment_text
from mainstem.rest.wire import UNSET, Unset, Wire

api = Family("Tracking Plans", feature="Protocols")
MAX_RULES: Final = 2_000
MAX_RULES_OF_CALL: Final = 200
MAX_SCHEMA_CHARACTERS: Final = 16 * 1024 * 1024
"""Of all the schemas of a plan together (judgement: an import of rules is documented with at most 15 MB)."""
MAX_FAULTS: Final = 50
NOT_DEPRECATED: Final = "0001-01-01T00:00:00.000Z"
_EXACT: Final = 2**53
_PLAN: Final = select(tracking_plans.c.name).where(tracking_plans.c.id == bindparam("plan_id"))
_OF_PLAN: Final = (
    select(tracking_plan_rules)
    .where(tracking_plan_rules.c.plan_id == bindparam("plan_id"))
    .order_by(tracking_plan_rules.c.seq)
)
_PUBLISHED: Final = _OF_PLAN.with_only_columns(
    tracking_plan_rules.c.type,
    tracking_plan_rules.c.key,
    tracking_plan_rules.c.version,
    tracking_plan_rules.c.json_schema,
)
_schema: Final = msgspec.json.Decoder()

Key = Annotated[str, Meta(max_length=1024)]
Version = Annotated[float, Meta(ge=0, le=_EXACT)]
Identity = tuple[str, str, float]


class RuleType(enum.StrEnum):
    """Which events a rule is for."""

    COMMON = "COMMON"
    GROUP = "GROUP"
    IDENTIFY = "IDENTIFY"
    PAGE = "PAGE"
    SCREEN = "SCREEN"
    TRACK = "TRACK"


WITHOUT_KEY: Final = frozenset({RuleType.COMMON, RuleType.GROUP, RuleType.IDENTIFY})


class RemovedRule(Wire, frozen=True):
    """Names a rule."""

    type: RuleType
    version: Version
    key: Key | Unset | None = UNSET

    @property
    def identity(self) -> Identity:
        """What makes a rule this one; the key is "" for none."""
        return (self.type, self.key or "", self.version)


class RuleInput(RemovedRule, frozen=True, kw_only=True):
    """A rule as it is sent. A key of null or "" is none."""

    json_schema: dict[str, Any]


class UpsertedRule(RuleInput, frozen=True, kw_only=True):
    """A rule to write over the one that it names, or beside the others; `new_key` renames it."""

    new_key: Key | Unset | None = UNSET

    @property
    def new_identity(self) -> Identity:
        """What names the rule afterwards."""
        return (self.type, self.new_key or self.key or "", self.version)


class ReplaceRulesInput(Wire, frozen=True):
    """Body of replaceRulesInTrackingPlan."""

    rules: Annotated[list[RuleInput], Meta(max_length=MAX_RULES_OF_CALL)]


class UpdateRulesInput(Wire, frozen=True):
    """Body of updateRulesInTrackingPlan; rules are written in their order."""

    rules: Annotated[list[UpsertedRule], Meta(max_length=MAX_RULES_OF_CALL)]


class RemoveRulesInput(Wire, frozen=True):
    """Query of removeRulesFromTrackingPlan."""

    rules: Annotated[list[RemovedRule], Meta(max_length=MAX_RULES_OF_CALL)]


class Rule(Wire, frozen=True):
    """A rule on the wire; whole versions are whole numbers. Rules cannot be deprecated: `deprecated_at` is always
    what Segment sends for a rule that is not (Source: replies in the tests of its Terraform provider)."""

    type: str
    json_schema: msgspec.Raw
    version: int | float
    created_at: str
    updated_at: str
    deprecated_at: str = NOT_DEPRECATED
    key: str | Unset = UNSET


class RulesOutput(Wire, frozen=True):
    """Reply of listRulesFromTrackingPlan."""

    rules: list[Rule]
    pagination: Pagination


class Stored(msgspec.Struct, frozen=True):
    """A rule that is there: its row, its age, and how many characters its schema has."""

    seq: int | None
    created_at: Any
    size: int


def _check_schemas(_tracking_plan_id: str, body: ReplaceRulesInput | UpdateRulesInput) -> None:
    """Raises BadRequest for schemas that cannot be used. Those of a full call take long enough to be looked at before
    the transaction."""
    faults: list[Fault] = []
    for index, rule in enumerate(body.rules):
        for path, message in rule_schema.faults(rule.json_schema):
            field = f"rules[{index}].jsonSchema{'.' if path else ''}{path}"
            faults.append(Fault(BadRequest.type, f'{described(rule.identity)}: "{field}" {message}', field))
        if len(faults) > MAX_FAULTS:
            break
    if faults:
        refused = BadRequest(faults[0].message)
        refused.faults = faults[:MAX_FAULTS]
        raise refused


@api.operation("GET /tracking-plans/{trackingPlanId}/rules", needs=Needs.TRACKING_PLAN_READ, rate=per_minute(200))
def list_rules_from_tracking_plan(call: Call, tracking_plan_id: str, query: PageInput) -> RulesOutput:
    """List Rules from Tracking Plan"""
    plans.one(call, tracking_plan_id)
    found, pagination = rows.page_of(call.db, _OF_PLAN, query.pagination, plan_id=tracking_plan_id)
    return RulesOutput(rules=[_rule_of(row) for row in found], pagination=pagination)


@api.operation("PUT /tracking-plans/{trackingPlanId}/rules", needs=Needs.TRACKING_PLAN_ADMIN, prepare=_check_schemas)
def replace_rules_in_tracking_plan(call: Call, tracking_plan_id: str, body: ReplaceRulesInput) -> StatusOutput:
    """Replace Rules in Tracking Plan"""
    plans.one(call, tracking_plan_id)
    _check(call, body.rules, repeated=_repeated(body.rules))
    before = _stored(call.db, tracking_plan_id)
    call.db.execute(delete(tracking_plan_rules).where(tracking_plan_rules.c.plan_id == tracking_plan_id))
    fresh = Stored(None, call.now, 0)
    written = [
        _row(call, tracking_plan_id, rule.identity, rule, before.get(rule.identity, fresh).created_at)
        for rule in body.rules
    ]
    _check_size(len(written), 0, written)
    _insert(call, written)
    plans.changed(call, tracking_plan_id)
    return StatusOutput()


@api.operation(
    "PATCH /tracking-plans/{trackingPlanId}/rules", needs=Needs.TRACKING_PLAN_ADMIN, prepare=_check_schemas
)
def update_rules_in_tracking_plan(call: Call, tracking_plan_id: str, body: UpdateRulesInput) -> StatusOutput:
    """Update Rules in Tracking Plan"""
    plans.one(call, tracking_plan_id)
    _check(call, body.rules)
    before = _stored(call.db, tracking_plan_id)
    written = upserted(before, body.rules)
    gone = {rule.identity for rule in body.rules} | written.keys()
    rest = [stored for identity, stored in before.items() if identity not in gone]
    rows_written = [
        _row(call, tracking_plan_id, identity, rule, stored.created_at if stored else call.now)
        | {"seq": stored.seq if stored else None}
        for identity, (stored, rule) in written.items()
    ]
    _check_size(len(rest) + len(rows_written), sum(each.size for each in rest), rows_written)
    _delete(call, [before[identity].seq for identity in gone if identity in before])
    _insert(call, rows_written)
    plans.changed(call, tracking_plan_id)
    return StatusOutput()


@api.operation("DELETE /tracking-plans/{trackingPlanId}/rules", needs=Needs.TRACKING_PLAN_ADMIN)
def remove_rules_from_tracking_plan(call: Call, tracking_plan_id: str, query: RemoveRulesInput) -> StatusOutput:
    """Remove Rules from Tracking Plan"""
    plans.one(call, tracking_plan_id)
    before = _stored(call.db, tracking_plan_id)
    for rule in query.rules:
        if rule.identity not in before:
            raise NotFound(f"{described(rule.identity)} not found in tracking plan '{tracking_plan_id}'.")
    _delete(call, [before[rule.identity].seq for rule in query.rules])
    plans.changed(call, tracking_plan_id)
    return StatusOutput()


def upserted(
    before: Mapping[Identity, Stored], rules: Sequence[UpsertedRule]
) -> dict[Identity, tuple[Stored | None, UpsertedRule]]:
    """What `rules`, one after the other, make of those that were there `before`: what is to be written, by its
    identity, with the stored rule that it continues, if any. Raises Conflict for a new name that another has."""
    kept: dict[Identity, Stored | None] = dict(before)
    written: dict[Identity, tuple[Stored | None, UpsertedRule]] = {}
    for index, rule in enumerate(rules):
        identity, new = rule.identity, rule.new_identity
        if new != identity and new in kept:
            raise Conflict(f"{described(new)} exists already.", field=f"rules[{index}].newKey")
        stored = kept.pop(identity, None)
        kept[new] = stored
        written.pop(identity, None)
        written[new] = (stored, rule)
    return written


def described(identity: Identity) -> str:
    """A rule in words: TRACK rule 'Order Completed' (version 1)"""
    kind, key, version = identity
    name = f" '{key}'" if key else ""
    return f"{kind} rule{name} (version {version:.15g})"


def config_of(db: Connection, plan_id: str) -> PlanConfig | None:
    """What the data plane knows of a plan; None when there is none, or no source is connected to it."""
    row = db.execute(_PLAN, {"plan_id": plan_id}).one_or_none()
    if row is None or not plans.is_connected(db, plan_id):
        return None
    found = db.execute(_PUBLISHED, {"plan_id": plan_id}).all()
    rules = (RuleConfig(kind, key, version, _schema.decode(text)) for kind, key, version, text in found)
    return PlanConfig(id=plan_id, name=row.name, rules=tuple(rules))


def _stored(db: Connection, plan_id: str) -> dict[Identity, Stored]:
    """The rules of a plan, without their schemas."""
    table = tracking_plan_rules.c
    columns = (table.type, table.key, table.version, table.seq, table.created_at)
    size = func.length(table.json_schema)
    found = db.execute(select(*columns, size.label("size")).where(table.plan_id == plan_id))
    return {(row.type, row.key, row.version): Stored(row.seq, row.created_at, row.size) for row in found}


def _rule_of(row: Row[Any]) -> Rule:
    return Rule(
        type=row.type,
        key=row.key or UNSET,
        json_schema=msgspec.Raw(row.json_schema.encode()),
        version=int(row.version) if row.version.is_integer() else row.version,
        created_at=moment_text(row.created_at),
        updated_at=moment_text(row.updated_at),
    )


def _check(call: Call, rules: Sequence[RuleInput], repeated: Iterable[int] = ()) -> None:
    """Raises InputInvalid for keys and repetitions, then BadRequest for schemas, each with all that is wrong."""
    wrong = [(f"rules[{index}]", f"{described(rules[index].identity)} stands here twice") for index in repeated]
    for index, rule in enumerate(rules):
        wrong += _key_faults(f"rules[{index}]", rule)
    if wrong:
        raise InputInvalid(wrong)
    call.prepared()


def _key_faults(path: str, rule: RuleInput) -> list[tuple[str, str]]:
    new_key = rule.new_key if isinstance(rule, UpsertedRule) else None
    if rule.type == RuleType.TRACK and not rule.key:
        return [(f"{path}.key", f'"{path}.key" is required')]
    sent = {"key": rule.key, "newKey": new_key}
    if rule.type not in WITHOUT_KEY:
        return []
    return [
        (f"{path}.{name}", f'"{path}.{name}" is not allowed: a rule of type {rule.type} has none')
        for name, value in sent.items()
        if value
    ]


def _repeated(rules: Sequence[RuleInput]) -> list[int]:
    """Where a rule stands that was there before."""
    seen: set[Identity] = set()
    found = []
    for index, rule in enumerate(rules):
        if rule.identity in seen:
            found.append(index)
        seen.add(rule.identity)
    return found


def _check_size(count: int, size: int, written: Sequence[dict[str, Any]]) -> None:
    if count > MAX_RULES:
        raise BadRequest(f"A tracking plan has at most {MAX_RULES} rules.", field="rules")
    if size + sum(len(each["json_schema"]) for each in written) > MAX_SCHEMA_CHARACTERS:
        raise BadRequest(
            f"The schemas of a tracking plan have at most {MAX_SCHEMA_CHARACTERS} characters.", field="rules"
        )


def _row(call: Call, plan_id: str, identity: Identity, rule: RuleInput, created_at: Any) -> dict[str, Any]:
    kind, key, version = identity
    return {
        "plan_id": plan_id,
        "type": kind,
        "key": key,
        "version": version,
        "json_schema": msgspec.json.encode(rule.json_schema).decode(),
        "created_at": created_at,
        "updated_at": call.now,
    }


def _insert(call: Call, written: Sequence[dict[str, Any]]) -> None:
    """Write rows; those that continue a rule keep its place in the list, the others come last."""
    placed = [row for row in written if row.get("seq") is not None]
    last = [{name: value for name, value in row.items() if name != "seq"} for row in written if not row.get("seq")]
    for several in (placed, last):
        if several:
            call.db.execute(insert(tracking_plan_rules), several)


def _delete(call: Call, seqs: Sequence[int | None]) -> None:
    if seqs:
        call.db.execute(delete(tracking_plan_rules).where(tracking_plan_rules.c.seq.in_(seqs)))
