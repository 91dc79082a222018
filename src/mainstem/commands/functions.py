"""`mainstem function list|test|logs`: functions at the terminal.

`test` runs the newest code of a function in the sandbox, as an editor would, deployed or not: nothing is delivered,
nothing is logged, and its cache is empty. Exit codes: 0 when all went well, 1 when something is not there or the
function failed, 2 when the request makes no sense. Source: Functions documentation, "Testing".
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
from sqlalchemy import Row, select

from mainstem.commands import administration
from mainstem.engines.sqlite_function_log import SqliteFunctionLog
from mainstem.errors import MainstemError
from mainstem.model.ports import FunctionLog, LoggedInvocation
from mainstem.public_api.functions import setting_faults
from mainstem.public_api.functions.function import ResourceType, code_of, functions, settings_of
from mainstem.public_api.functions.settings import Setting
from mainstem.rest.rows import moment_text
from mainstem.sandbox import HANDLERS, Code, Ended, Invocation, Sandbox
from mainstem.settings import Settings
from mainstem.vault import open_vault

_PAGE: Final = 200
_LOOK_SECONDS: Final = 0.5
_WIDTH: Final = 10
Write = Callable[[str], object]


class Senseless(MainstemError):
    """What was asked for makes no sense; the message says why."""


class Tested(msgspec.Struct, frozen=True):
    """What `test` runs: one call of the newest version."""

    code: Code
    invocation: Invocation


def list_functions(settings: Settings) -> int:
    """Write all functions as a table, oldest first."""
    with administration.opened(settings, writes=False) as folder:
        same = functions.c.workspace_id == folder.workspace_id
        found = folder.db.execute(select(functions).where(same).order_by(functions.c.seq)).all()
    sys.stdout.write(f"{'ID':<30}{'KIND':<20}{'DEPLOYED':<26}{'LATEST':<8}NAME\n")
    for row in found:
        deployed = "never" if row.deployed_at is None else moment_text(row.deployed_at)
        is_latest = "yes" if row.latest_version == row.deployed_version else "no"
        sys.stdout.write(f"{row.id:<30}{row.resource_type:<20}{deployed:<26}{is_latest:<8}{_printable(row.name)}\n")
    return 0


# ---- test


def test(settings: Settings, function_id: str, event: str, given: Sequence[str], handler: str) -> int:
    """Run a function on the event (or JSON array of events) in the file `event`, "-" for standard input; `given` are
    settings as NAME=VALUE. For a source function the file is the body of a request."""
    try:
        tested = _tested(settings, function_id, _read(event), given, handler)
    except Senseless as error:
        sys.stderr.write(f"mainstem: {error}\n")
        return 2
    if tested is None:
        return _missing(function_id)
    ended = asyncio.run(_run(settings, tested))
    _report(tested, ended, sys.stdout.write)
    return 0 if ended.how == "returned" else 1


def _read(file: str) -> bytes:
    return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()


def _tested(settings: Settings, function_id: str, event: bytes, given: Sequence[str], handler: str) -> Tested | None:
    with administration.opened(settings, writes=False) as folder:
        same = (functions.c.workspace_id == folder.workspace_id) & (functions.c.id == function_id)
        row = folder.db.execute(select(functions).where(same)).one_or_none()
        if row is None:
            return None
        code = code_of(folder.db, folder.vault, row.latest_version)
    argument, usual = _argument(row, event)
    invocation = Invocation(_handler(handler or usual), argument, msgspec.json.encode(_values(row, given)))
    return Tested(Code(row.id, row.latest_version, row.resource_type, code), invocation)


def _argument(row: Row[Any], event: bytes) -> tuple[bytes, str]:
    """What the handler gets, and which handler usually gets it, "" when that cannot be told."""
    try:
        value = msgspec.json.decode(event)
        text = event.decode()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Senseless(f"the event is not JSON: {error}") from None
    if row.resource_type == ResourceType.SOURCE:
        headers = {"content-type": "application/json"}
        return msgspec.json.encode({"body": text, "headers": headers, "url": "http://localhost/"}), "onRequest"
    if isinstance(value, list):
        return event, "onBatch"
    type_ = value.get("type") if isinstance(value, dict) else None
    return event, f"on{type_[:1].upper()}{type_[1:]}" if isinstance(type_, str) else ""


def _handler(name: str) -> str:
    if name not in HANDLERS:
        told = f"there is no handler {name}" if name else "the event has no type"
        raise Senseless(f"{told}: give --handler, one of {', '.join(HANDLERS)}")
    return name


def _values(row: Row[Any], given: Sequence[str]) -> dict[str, Any]:
    """The settings to run with. Raises Senseless for what does not fit the function's definitions."""
    definitions = settings_of(row)
    defined = {each.name: each for each in definitions}
    pairs = dict(each.partition("=")[::2] for each in given)
    values = {name: _value(text, defined[name]) if name in defined else text for name, text in pairs.items()}
    faults = setting_faults(values, definitions)
    if faults:
        raise Senseless("; ".join(message for _, message in faults) + " (give --setting NAME=VALUE)")
    return values


def _value(text: str, setting: Setting) -> Any:
    """A text as it is; other types are JSON."""
    if setting.type == "STRING":
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise Senseless(f"--setting {setting.name}: {error}") from None


async def _run(settings: Settings, tested: Tested) -> Ended:
    sandbox = Sandbox(allow_private=settings.allow_private, libraries=settings.packages_folder / "functions")
    try:
        return await sandbox.invoke(tested.code, tested.invocation)
    finally:
        await sandbox.close()


def _report(tested: Tested, ended: Ended, write: Write) -> None:
    _field(write, "handler", tested.invocation.handler)
    _field(write, "ended", ended.how)
    _field(write, "outcome", _outcome(tested, ended))
    _field(write, "took", f"{ended.milliseconds:.1f} ms")
    if ended.error or ended.message:
        _field(write, "error", ": ".join(filter(None, (ended.error, ended.message))))
    if ended.how == "returned":
        _field(write, "returned", "nothing" if ended.value is None else _pretty(ended.value))
    for each in ended.emitted:
        _field(write, "emitted", _pretty(each))
    for line in ended.logs:
        _field(write, "console", line)


def _outcome(tested: Tested, ended: Ended) -> str:
    """What would become of the event, or of the request, in delivery."""
    from mainstem.destinations.base import Retryable  # these bring an HTTP client along
    from mainstem.destinations.functions import verdict

    if ended.how == "no_handler" and tested.invocation.handler == "onBatch":
        return "each event goes to the handler of its type, for there is no onBatch"
    if ended.how == "returned" and ended.value in (None, b"null") and tested.code.kind.startswith("INSERT_"):
        return "dropped"
    failure = verdict(ended)
    if failure is None:
        return "done" if tested.code.kind in ("DESTINATION", "SOURCE") else "goes on as returned"
    return f"tried again ({failure.reason})" if isinstance(failure, Retryable) else f"discarded ({failure.reason})"


# ---- logs


def logs(settings: Settings, function_id: str, *, follow: bool, wait: Callable[[], object] | None = None) -> int:
    """Write what is kept of a function's log, oldest first; with `follow`, go on with what comes until interrupted.
    `wait` is called before each look for more."""
    with administration.opened(settings, writes=False) as folder:
        same = (functions.c.workspace_id == folder.workspace_id) & (functions.c.id == function_id)
        is_known = folder.db.execute(select(functions.c.id).where(same)).one_or_none() is not None
    log = SqliteFunctionLog(settings.data, open_vault(settings.data, settings.secret_key, settings.old_secret_keys))
    try:
        last = _write_after(log, function_id, 0)
        if not last and not is_known:
            return _missing(function_id)
        while follow:
            (wait or _wait)()
            last = _write_after(log, function_id, last)
    finally:
        log.close()
    return 0


def _wait() -> None:
    time.sleep(_LOOK_SECONDS)


def _write_after(log: FunctionLog, function_id: str, after: int) -> int:
    """Write every entry with an id over `after`; returns the id of the last."""
    while page := log.read(function_id, after, _PAGE):
        for each in page:
            _write_entry(each, sys.stdout.write)
        after = page[-1].id
    sys.stdout.flush()
    return after


def _write_entry(logged: LoggedInvocation, write: Write) -> None:
    entry = logged.entry
    at = datetime.fromtimestamp(entry.at_ms / 1000, UTC)
    facts = [moment_text(at), entry.handler, entry.how, f"{entry.milliseconds:.1f} ms"]
    facts += [f"message {entry.message_id}"] if entry.message_id else []
    facts += [f"instance {entry.instance_id}", f"version {entry.version}"]
    write(_printable("  ".join(facts)) + "\n")
    error = ": ".join(filter(None, (entry.error, entry.message)))
    for text in ([error] if error else []) + list(entry.logs):
        for line in text.splitlines():
            write(f"    {_printable(line)}\n")


# ---- on the terminal


def _field(write: Write, name: str, text: str) -> None:
    """A name, and a text beside it; lines after the first are indented."""
    lines = [_printable(line) for line in text.splitlines()] or [""]
    write(f"{name:<{_WIDTH}}" + f"\n{'':<{_WIDTH}}".join(lines) + "\n")


def _printable(text: str) -> str:
    """Text that users wrote, without what would steer the terminal."""
    return "".join(each if each.isprintable() or each == "\t" else f"\\x{ord(each):02x}" for each in text)


def _pretty(value: bytes) -> str:
    return json.dumps(msgspec.json.decode(value), indent=2, ensure_ascii=False)


def _missing(function_id: str) -> int:
    sys.stderr.write(f"mainstem: there is no function with id {function_id}; see `mainstem function list`\n")
    return 1
