"""The record of an operation, and the decorator that makes it.

The decorator records and returns the function unchanged. Binding is one sentence: `call`, path parameters by
name, then `body` and/or `query`; anything else fails at import.
"""

from __future__ import annotations

import datetime as dt
import functools
import inspect
import re
import typing
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Select

from mainstem.mail import Letter
from mainstem.model.ports import LearnedSchemas, OutcomeStore, WarehouseDoor
from mainstem.rest import audit, permissions
from mainstem.rest.limits import Rate
from mainstem.rest.permissions import ALL_POWERS, Needs, Powers
from mainstem.rest.tokens import Token
from mainstem.rest.wire import Wire
from mainstem.vault import Vault

V1: Final = ("v1", "v1beta", "v1alpha")
V1_ALPHA: Final = ("v1", "v1alpha")
V1_ONLY: Final = ("v1",)
BETA: Final = ("v1beta",)
BETA_ALPHA: Final = ("v1beta", "v1alpha")
ALPHA: Final = ("v1alpha",)

Handler = Callable[..., Any]
Function = typing.TypeVar("Function", bound=Handler)


class Operation(msgspec.Struct, frozen=True):
    """Everything that is known of an operation without running it. `prepare` does what takes long and needs no rows,
    with the handler's arguments but the call, before the transaction begins; see Call.prepared.

    `is_slow`: it may take more than some milliseconds of which nobody can say how many: it reads what was counted of
    events, looks through the whole audit trail, runs a program, or waits for another host. Such a call runs beside
    the others and never before them. Every other reads a page of rows by their indexes, or writes a few.
    """

    id: str
    title: str
    method: str
    path: str
    status: int
    needs: Needs
    versions: Sequence[str]
    audit: Sequence[str]
    rate: Rate | None
    feature: str
    handler: Handler
    body: Any
    query: Any
    prepare: Handler | None = None
    is_slow: bool = False

    @property
    def stage(self) -> str:
        """v1, beta or alpha: the most stable version it has."""
        return {"v1": "v1", "v1beta": "beta", "v1alpha": "alpha"}[self.versions[0]]

    @property
    def writes(self) -> bool:
        """Whether it runs in a writing transaction, as what leaves an audit row does."""
        return self.method != "GET" or bool(self.audit)


class Afterwards(msgspec.Struct, frozen=True):
    """What a handler returns in place of an answer that takes long: it is asked for once the transaction is
    committed. What the handler changed stays changed, even when `answer` refuses."""

    answer: Callable[[], Any]


class Call:
    """One request being served: the transaction, the caller, the time."""

    def __init__(
        self,
        *,
        db: Connection,
        token: Token,
        now: dt.datetime,
        vault: Vault,
        outcomes: OutcomeStore,
        operation: Operation,
        headers: Sequence[tuple[str, str]] = (),
        tracking_url: str = "",
        powers: Powers = ALL_POWERS,
        warehouses: WarehouseDoor | None = None,
        learned: LearnedSchemas | None = None,
        prepared: Callable[[], Any] = lambda: None,
        write: Callable[..., None] | None = None,
    ) -> None:
        """`tracking_url` is where the Tracking API is reached, "" when that is not known; `learned` is None where
        nothing is known of what sources sent; `prepared` gives what the operation's `prepare` made, or raises what it
        raised: where the handler asks for it, so that what it finds first is told first; `write` takes the fields
        of audit rows when they are to be written later, as they must be in a transaction that only reads."""
        self.db, self.token, self.now = db, token, now
        self.vault, self._outcomes, self.operation = vault, outcomes, operation
        self.headers, self.tracking_url, self.powers = headers, tracking_url, powers
        self._warehouses, self._learned = warehouses, learned
        self.prepared = prepared
        self._write = write or functools.partial(audit.record, db, vault)
        self.workspace_id = token.workspace_id
        self.touched: set[str] = set()
        self.forgotten: set[str] = set()
        self.letters: list[Letter] = []

    def may(self, needs: Needs) -> bool:
        """Whether the caller has a power beyond what the operation asks for, on anything at all."""
        return self.powers.may(needs)

    def reach(self, needs: Needs, id: ColumnElement[str]) -> ColumnElement[bool]:
        """The rows on which the caller has a power, for the `where` of a family's `visible`; `id` is the column with
        the id of the source, warehouse, function or space that a row is, or belongs to."""
        return self.powers.clause(needs, id)

    def narrowed(self, query: Select[Any], needs: Needs, id: ColumnElement[str]) -> Select[Any]:
        """`query` for the rows of `reach`; itself where the caller has the power everywhere, so that a statement that
        was made once stays the same."""
        return query if self.powers.may_everywhere(needs) else query.where(self.reach(needs, id))

    def within(self, needs: Needs, ids: Sequence[str]) -> set[str]:
        """Which of these sources, warehouses, functions or spaces the caller has a power on."""
        return self.powers.within(self.db, needs, ids)

    def demand(self, needs: Needs, id: str) -> None:
        """Raises Forbidden unless the caller has this power on a source, warehouse, function or space."""
        if not self.within(needs, [id]):
            raise permissions.lacking(needs)

    def demand_own(self, needs: Needs, id: str) -> None:
        """Raises Forbidden when this is the power that the operation asks for and the caller lacks it on the object:
        for a family's `one`, which other families call too."""
        if self.operation.needs is needs:
            self.demand(needs, id)

    def demand_everywhere(self, needs: Needs) -> None:
        """Raises Forbidden unless the caller has this power on the whole workspace, as who makes something new."""
        if not self.powers.may_everywhere(needs):
            raise permissions.lacking(needs)

    @property
    def outcomes(self) -> OutcomeStore:
        """What was counted of events; reading it is slow."""
        assert self.operation.is_slow, f"{self.operation.id} does not say that it is slow"
        return self._outcomes

    @property
    def learned(self) -> LearnedSchemas | None:
        """What sources were seen to send, None where nothing is known of it; reading it is slow."""
        assert self.operation.is_slow, f"{self.operation.id} does not say that it is slow"
        return self._learned

    @property
    def warehouses(self) -> WarehouseDoor:
        """Where warehouses are knocked at; outside of the transaction, see Afterwards."""
        assert self.operation.is_slow, f"{self.operation.id} does not say that it is slow"
        assert self._warehouses is not None, "nobody can connect to warehouses here"
        return self._warehouses

    def touch(self, id: str) -> None:
        """The data plane must see this source, tracking plan or function (under the id that it is published by)
        anew: it is published in this transaction."""
        self.touched.add(id)

    def forget(self, destination_id: str) -> None:
        """This destination is gone: what is kept of it beside the control tables goes once this is committed."""
        self.forgotten.add(destination_id)

    def send(self, letter: Letter) -> None:
        """Tell a person by mail, once this is committed and where a mail server is set; it never fails the call."""
        self.letters.append(letter)

    def record(self, event: str, resource_type: str, resource_id: str, resource_name: str) -> None:
        """Write an audit event of this operation, with the caller as the actor."""
        assert event in self.operation.audit, f"{self.operation.id} does not declare {event!r}"
        self.record_beside(event, resource_type, resource_id, resource_name)

    def record_beside(self, event: str, resource_type: str, resource_id: str, resource_name: str) -> None:
        """Write an audit event that the reference does not name for this operation: of what goes along with what was
        asked for, or of what belongs into the trail all the same (judgement)."""
        self._write(
            workspace_id=self.workspace_id,
            at=self.now,
            type=event,
            actor=self.token.id,
            resource_type=resource_type,
            resource_id=resource_id,
            resource_name=resource_name,
        )


class Family:
    """The operations of one tag of the reference."""

    def __init__(self, name: str, *, feature: str = "", is_slow: bool = False) -> None:
        """`is_slow` says so of every operation, see Operation."""
        self.name, self.feature, self._is_slow = name, feature, is_slow
        self.operations: list[Operation] = []

    def operation(
        self,
        route: str,
        *,
        needs: Needs,
        status: int = 200,
        versions: Sequence[str] = V1,
        audit: str | Sequence[str] = (),
        rate: Rate | None = None,
        id: str = "",
        prepare: Handler | None = None,
        is_slow: bool = False,
    ) -> Callable[[Function], Function]:
        """Record the decorated function as the handler of `route`, such as "POST /labels". `id` is for the few
        operation ids that the function's name does not give (getDailyWorkspaceMTUUsage); `prepare` is for what would
        hold up other writers, see Operation. What has it, or answers afterwards, is slow without saying so."""
        method, path = route.split(" ", 1)

        def keep(handler: Function) -> Function:
            body, query = _bound(handler, path)
            events = (audit,) if isinstance(audit, str) else tuple(audit)
            self.operations.append(
                Operation(
                    id=id or _camel(handler.__name__),
                    title=(handler.__doc__ or "").partition("\n")[0],
                    method=method,
                    path=path,
                    status=status,
                    needs=needs,
                    versions=versions,
                    audit=events,
                    rate=rate,
                    feature=self.feature,
                    handler=handler,
                    body=body,
                    query=query,
                    prepare=prepare,
                    is_slow=is_slow or self._is_slow or prepare is not None or _answers_afterwards(handler),
                )
            )
            return handler

        return keep


def _answers_afterwards(handler: Handler) -> bool:
    return typing.get_type_hints(handler).get("return") is Afterwards


def _camel(name: str) -> str:
    """create_label is createLabel."""
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def path_parameters(path: str) -> list[str]:
    """Names in a route, in order: "/labels/{key}/{value}" has key and value."""
    return re.findall(r"\{(\w+)\}", path)


def snake(name: str) -> str:
    """sourceId is source_id."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def _bound(handler: Handler, path: str) -> tuple[Any, Any]:
    names = list(inspect.signature(handler).parameters)
    expected = ["call", *map(snake, path_parameters(path))]
    extra = names[len(expected) :]
    if names[: len(expected)] != expected or extra not in ([], ["body"], ["query"], ["body", "query"]):
        raise TypeError(f"{handler.__name__}({', '.join(names)}) does not bind {expected} and body or query")
    hints = typing.get_type_hints(handler, include_extras=True)
    for name in extra:
        if not issubclass(hints[name], Wire):
            raise TypeError(f"{handler.__name__}: {name} is no Wire")
    return hints.get("body"), hints.get("query")
