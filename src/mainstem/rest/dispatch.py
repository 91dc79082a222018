"""One request through its steps, in order.

route -> method -> token -> rate limit -> version and media type -> size -> syntax -> shape -> permission ->
handler in a transaction -> audit and publication -> commit -> answer; one that takes long is made after the commit.
The first step that refuses decides the status, so the order is the precedence of statuses. Source: Public API
reference, "Error Handling"; the precedence is a judgement.
"""

from __future__ import annotations

import datetime as dt
import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, NoReturn, Protocol
from urllib.parse import unquote

import msgspec
from msgspec import inspect
from sqlalchemy import Connection

from mainstem.errors import (
    ApiError,
    BadRequest,
    EngineUnavailable,
    InputInvalid,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    Unauthorized,
    Unavailable,
)
from mainstem.model.ports import LearnedSchemas, OutcomeStore, WarehouseDoor
from mainstem.rest import grants, media, tokens
from mainstem.rest.limits import Limiter
from mainstem.rest.operation import Afterwards, Call, Family, Operation, path_parameters
from mainstem.rest.permissions import Powers
from mainstem.rest.query import Kinds, parse_query
from mainstem.rest.tokens import Token
from mainstem.rest.wire import decode
from mainstem.vault import Vault

log: Final = logging.getLogger("mainstem.public_api")
_SHOWN_PATH: Final = 200  # characters of a path that leads nowhere


class Request(msgspec.Struct, frozen=True):
    """A request as HTTP brought it. `path` is percent-encoded; header names are lower case; `body` is None
    when it is over the size limit."""

    method: str
    path: str
    query: str
    headers: Sequence[tuple[str, str]]
    body: bytes | None

    def header(self, name: str) -> str:
        """The first header of this name, "" when there is none."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def accept(self) -> str:
        """What the client takes; the header may come in several lines."""
        return ", ".join(value for key, value in self.headers if key == "accept")


class Answer(msgspec.Struct, frozen=True):
    """What goes back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Caller(msgspec.Struct, frozen=True):
    """Who was let in, to what, and when."""

    now: dt.datetime
    token: Token
    powers: Powers
    operation: Operation
    media_type: str


class Database(Protocol):
    """Where control rows live."""

    def transaction(self, *, writes: bool) -> AbstractContextManager[Connection]:
        """A transaction: committed at the end of the block, rolled back when it raises."""


class Route(msgspec.Struct):
    """The operations of one path, by method; `literals` breaks ties between templates."""

    segments: Sequence[str]
    operations: dict[str, Operation]

    def match(self, segments: Sequence[str]) -> bool:
        """Whether a request path, split, fits this route."""
        return len(segments) == len(self.segments) and all(
            (mine.startswith("{") and theirs) or mine == theirs
            for mine, theirs in zip(self.segments, segments, strict=True)
        )


class Dispatcher:
    """Serves every operation of the families it is given."""

    def __init__(
        self,
        families: Sequence[Family],
        *,
        database: Database,
        vault: Vault,
        limiter: Limiter,
        outcomes: OutcomeStore,
        clock: Callable[[], dt.datetime],
        before_commit: Callable[[Call], None],
        after_commit: Callable[[Call], None] = lambda _call: None,
        tracking_url: str = "",
        warehouses: WarehouseDoor | None = None,
        learned: LearnedSchemas | None = None,
    ) -> None:
        """`after_commit` never raises: what was answered is done. The last three are for the calls."""
        self._tracking_url, self._warehouses, self._learned = tracking_url, warehouses, learned
        self._database, self._vault, self._limiter = database, vault, limiter
        self._outcomes, self._clock = outcomes, clock
        self._before_commit, self._after_commit = before_commit, after_commit
        self._routes = _by_beginning(_routes(families))

    def find(self, request: Request) -> Operation | None:
        """The operation that a request asks for, None when there is none."""
        try:
            return self._find(request)[0]
        except ApiError:
            return None

    def serve(self, request: Request) -> Answer:
        """Answer a request; never raises."""
        headers: dict[str, str] = {}
        name = request.method  # in the log: paths may hold write keys
        try:
            operation, parameters = self._find(request)
            name = operation.id
            return self._run(operation, parameters, request, headers)
        except ApiError as error:
            return _refusal(error, headers)
        except EngineUnavailable as error:
            log.warning("%s was answered 503: %s", name, error)
            return _refusal(Unavailable(), headers)
        except Exception:  # the edge: what nobody named becomes one 500, and the operator gets the trace
            log.exception("%s failed", name)
            return _refusal(ApiError("An unexpected error occurred; the server's log says more."), headers)

    def _find(self, request: Request) -> tuple[Operation, dict[str, str]]:
        segments = request.path.split("/")[1:]
        routes = self._routes.get((len(segments), segments[0]), ())
        route = next((route for route in routes if route.match(segments)), None)
        if route is None:
            raise NotFound(f"There is no route {request.path[:_SHOWN_PATH]}.")
        operation = route.operations.get(request.method)
        if operation is None:
            refused = MethodNotAllowed(f"{request.method} is not possible here.")
            refused.headers["Allow"] = ", ".join(sorted(route.operations))
            raise refused
        names = path_parameters(operation.path)
        values = [unquote(theirs) for mine, theirs in zip(route.segments, segments, strict=True) if mine[:1] == "{"]
        return operation, dict(zip(names, values, strict=True))

    def _run(
        self, operation: Operation, parameters: dict[str, str], request: Request, headers: dict[str, str]
    ) -> Answer:
        secret = _secret(request)
        if operation.writes or operation.prepare is not None:  # nobody holds up writers before being let in
            with self._database.transaction(writes=False) as db:
                caller = self._admitted(db, secret, operation, request, headers)
            arguments = _checked(caller, operation, parameters, request)
            prepared = _prepared(operation, arguments)
            with self._database.transaction(writes=operation.writes) as db:
                call, result, body = self._handled(db, caller, request, arguments, prepared)
        else:
            with self._database.transaction(writes=False) as db:
                caller = self._admitted(db, secret, operation, request, headers)
                arguments = _checked(caller, operation, parameters, request)
                call, result, body = self._handled(db, caller, request, arguments, lambda: None)
        self._after_commit(call)
        body = _encoded(result.answer()) if isinstance(result, Afterwards) else body
        return Answer(operation.status, headers | {"Content-Type": caller.media_type}, body)

    def _admitted(
        self, db: Connection, secret: str, operation: Operation, request: Request, headers: dict[str, str]
    ) -> Caller:
        """Who calls, as tokens and grants tell it at this moment; counts the call against its rate limit."""
        now = self._clock()
        token = tokens.find_active(db, self._vault, secret)
        if token is None:
            raise Unauthorized("This token is unknown or revoked.")
        usage = self._limiter.consume(token.id, operation.id, operation.rate, now.timestamp())
        headers |= usage.headers
        _, media_type = media.negotiate(request.accept, operation.versions)
        return Caller(now, token, grants.powers_of(db, token), operation, media_type)

    def _handled(
        self,
        db: Connection,
        caller: Caller,
        request: Request,
        arguments: Sequence[Any],
        prepared: Callable[[], Any],
    ) -> tuple[Call, Any, bytes]:
        """Run the handler and what belongs into its transaction; the body is empty when it is made afterwards."""
        call = Call(
            db=db,
            token=caller.token,
            now=caller.now,
            vault=self._vault,
            outcomes=self._outcomes,
            operation=caller.operation,
            headers=request.headers,
            tracking_url=self._tracking_url,
            powers=caller.powers,
            warehouses=self._warehouses,
            learned=self._learned,
            prepared=prepared,
        )
        result = caller.operation.handler(call, *arguments)
        self._before_commit(call)
        body = b"" if isinstance(result, Afterwards) else _encoded(result)  # before the commit: no 5xx may follow one
        return call, result, body

    def within(
        self,
        db: Connection,
        token: Token,
        request: Request,
        *,
        learned: LearnedSchemas | None = None,
        write: Callable[..., None] | None = None,
    ) -> tuple[Call, Any]:
        """Run an operation in a transaction that the caller has and ends, with the powers of an owner; returns the
        call, which `committed` wants once the transaction is, and the `data` of the answer. For operators at the
        terminal: nothing is authenticated or limited. Raises ApiError. `learned` stands in
        for what is known of sources, `write` for the audit trail."""
        operation, parameters = self._find(request)
        arguments = list(_arguments(operation, parameters, request))
        call = Call(
            db=db,
            token=token,
            now=self._clock(),
            vault=self._vault,
            outcomes=self._outcomes,
            operation=operation,
            tracking_url=self._tracking_url,
            warehouses=self._warehouses,
            learned=learned or self._learned,
            prepared=_prepared(operation, arguments),
            write=write,
        )
        result = operation.handler(call, *arguments)
        self._before_commit(call)
        return call, msgspec.json.decode(msgspec.json.encode(result))

    def committed(self, call: Call) -> None:
        """Do what follows the commit of a call that ran `within`."""
        self._after_commit(call)


def _secret(request: Request) -> str:
    scheme, _, secret = request.header("authorization").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise Unauthorized("A token is required: Authorization: Bearer <token>.")
    return secret.strip()


def _checked(caller: Caller, operation: Operation, parameters: dict[str, str], request: Request) -> list[Any]:
    arguments = list(_arguments(operation, parameters, request))
    caller.powers.check(operation.needs)
    return arguments


def _routes(families: Sequence[Family]) -> list[Route]:
    routes: dict[str, Route] = {}
    for operation in (each for family in families for each in family.operations):
        shape = "/".join("{}" if part.startswith("{") else part for part in operation.path.split("/"))
        route = routes.setdefault(shape, Route(operation.path.split("/")[1:], {}))
        if operation.method in route.operations:
            raise TypeError(f"{operation.method} {operation.path} has two handlers")
        route.operations[operation.method] = operation
    return sorted(routes.values(), key=lambda route: [part.startswith("{") for part in route.segments])


def _by_beginning(routes: Sequence[Route]) -> dict[tuple[int, str], list[Route]]:
    """Routes by the number of their segments and the first of them, which no route leaves open."""
    found: dict[tuple[int, str], list[Route]] = {}
    for route in routes:
        assert not route.segments[0].startswith("{")
        found.setdefault((len(route.segments), route.segments[0]), []).append(route)
    return found


def _prepared(operation: Operation, arguments: Sequence[Any]) -> Callable[[], Any]:
    """Do what is done before the transaction. What it refuses is raised only when the handler asks."""
    if operation.prepare is None:
        return lambda: None
    try:
        made = operation.prepare(*arguments)
    except (ApiError, EngineUnavailable) as error:
        return functools.partial(_raised, error)
    return lambda: made


def _raised(error: Exception) -> NoReturn:
    raise error


def _encoded(result: Any) -> bytes:
    return msgspec.json.encode({"data": result})


def _refusal(error: ApiError, headers: Mapping[str, str]) -> Answer:
    headers = {**headers, **error.headers, "Content-Type": media.JSON}
    return Answer(error.status, headers, msgspec.json.encode({"errors": error.faults}))


def _arguments(operation: Operation, parameters: dict[str, str], request: Request) -> Iterator[Any]:
    """Path parameters, body and query, all read before any is refused, so that all faults come together."""
    if operation.body is not None:
        media.check_content_type("" if request.body == b"" else request.header("content-type"))
    if request.body is None:
        raise PayloadTooLarge("The body is too large.")
    faults: list[tuple[str, str]] = []
    values: list[Any] = list(parameters.values())
    for name, value in parameters.items():
        if len(value) > 255:
            faults.append((name, f'"{name}" length must be less than or equal to 255 characters long'))
    if operation.body is not None:
        values.append(_collected(faults, _body(request.body), operation.body, text=False))
    if operation.query is not None:
        values.append(_collected(faults, _query(operation, request), operation.query, text=True))
    if faults:
        raise InputInvalid(faults)
    return iter(values)


def _collected(faults: list[tuple[str, str]], value: Any, shape: Any, *, text: bool) -> Any:
    try:
        return decode(value, shape, text=text)
    except InputInvalid as error:
        faults.extend((fault.field or "", fault.message) for fault in error.faults)
        return None


def _body(body: bytes) -> dict[str, Any]:
    """An absent body is an empty object: what is required in it is then reported field by field."""
    if not body.strip():
        return {}
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"The body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest("The body must be a JSON object.")
    return value


def _query(operation: Operation, request: Request) -> dict[str, Any]:
    """The query string; on GET, a JSON body fills in what the query leaves out, as some list operations are
    documented with one."""
    values = parse_query(request.query, _kinds(operation.query))
    if request.method == "GET" and request.body and request.body.lstrip()[:1] == b"{":
        values = _body(request.body) | values
    return values


@functools.cache
def _kinds(shape: Any) -> Kinds:
    """Which parameters of a query shape are lists and which are objects."""
    lists: set[str] = set()
    objects: set[str] = set()
    words: set[str] = set()
    records: set[str] = set()
    for field in _fields(shape):
        name = field.encode_name
        for kind in _alternatives(field.type):
            if isinstance(kind, (inspect.ListType, inspect.VarTupleType)):
                lists.add(name)
                words |= {name} if isinstance(kind.item_type, (inspect.LiteralType, inspect.EnumType)) else set()
                records |= {name} if isinstance(kind.item_type, inspect.StructType) else set()
            elif isinstance(kind, (inspect.StructType, inspect.DictType)):
                objects.add(name)
            if isinstance(kind, inspect.StructType):
                lists |= {f"{name}.{each}" for each in _kinds(kind.cls).lists}
    return Kinds(frozenset(lists), frozenset(objects), frozenset(words), frozenset(records))


def _fields(shape: Any) -> Sequence[inspect.Field]:
    kind = inspect.type_info(shape)
    assert isinstance(kind, inspect.StructType)
    return kind.fields


def _alternatives(kind: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.Metadata):
        yield from _alternatives(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for each in kind.types:
            yield from _alternatives(each)
    else:
        yield kind
