"""`mainstem trace`, `tail` and `replay` at the terminal: opens the data folder, and says what came of it.

They work whether or not a server runs on the folder. Exit codes: 0 when all went well, 1 when something is not there,
2 when the request makes no sense.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from mainstem import app
from mainstem.commands import replaying, tailing, terminal, tracing, trial, trial_files
from mainstem.commands.lives import Lives
from mainstem.commands.replaying import MOST_DELIVERIES, MOST_WAITING, Progress, Reading, Senseless, Wanted
from mainstem.commands.terminal import Paint, compact, cut, moment
from mainstem.commands.tracing import MISSING, Names
from mainstem.engines.sqlite_events import SqliteEventLog
from mainstem.engines.sqlite_flow import SqliteFlow
from mainstem.engines.sqlite_traces import SqliteTraces
from mainstem.errors import SettingsError
from mainstem.model.ports import NewEntry
from mainstem.model.snapshot import LiveSnapshot, Snapshot
from mainstem.sandbox import Sandbox
from mainstem.settings import Settings
from mainstem.vault import open_vault

_TELL_SECONDS: Final = 5.0


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked of `replay`."""

    start: str
    end: str
    source: str = ""
    events: Sequence[str] = ()
    user: str = ""
    destination: str = ""
    rate: float = 0.0
    is_dry: bool = False
    plan: Path | None = None
    filter: Path | None = None
    transformation: Path | None = None
    function: Path | None = None
    is_json: bool = False


class _Folder:
    """The stores of a data folder."""

    def __init__(self, settings: Settings) -> None:
        if not app.is_started(settings):
            raise SettingsError(f"{settings.data} holds no mainstem yet")
        vault = open_vault(settings.data, settings.secret_key, settings.old_secret_keys)
        self.live: LiveSnapshot = app.open_snapshot(settings, vault)
        self.snapshot: Snapshot = self.live.refresh()
        self.traces: SqliteTraces = app.open_traces(settings, vault)
        self.log: SqliteEventLog = app.open_event_log(settings)

    def source_id(self, wanted: str) -> str:
        """The id of a source by its id or slug. Raises Senseless."""
        found = tracing.find_source(self.snapshot, wanted)
        if found is None:
            raise Senseless(f"there is no source {wanted}")
        return found


def _senseless(command: Callable[..., int]) -> Callable[..., int]:
    def run(*given: Any, **named: Any) -> int:
        try:
            return command(*given, **named)
        except Senseless as error:
            sys.stderr.write(f"mainstem: {error}\n")
            return 2

    return run


# ---- trace and tail


@_senseless
def trace(settings: Settings, message_id: str, source: str, reason: str, destination: str, is_json: bool) -> int:
    """Tell the life of an event, or with `reason` show samples of what a destination, or its source, discarded."""
    if bool(message_id) is bool(reason):
        raise Senseless("give either a messageId, or --reason")
    folder, paint = _Folder(settings), Paint(sys.stdout)
    names, lives = Names(folder.snapshot), Lives(folder.traces, folder.log, folder.snapshot)
    if reason:
        return tracing.samples(lives, folder.traces, names, reason, destination, sys.stdout.write, paint)
    source_id = folder.source_id(source)
    if is_json:
        return tracing.tell_json(lives, folder.traces, message_id, source_id, sys.stdout.write)
    return tracing.tell(lives, folder.traces, names, message_id, source_id, sys.stdout.write, paint)


@_senseless
def tail(settings: Settings, source: str, event: str, is_json: bool) -> int:
    """Show events as they come, until Ctrl-C."""
    folder = _Folder(settings)
    wanted = tailing.Wanted(folder.source_id(source), event)
    show = tailing.as_json if is_json else tailing.as_text(Paint(sys.stdout))
    try:
        tailing.follow(folder.traces, folder.live, wanted, _write_at_once, show)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left has nobody to go to
    return 0


def _write_at_once(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


# ---- replay


@_senseless
def replay(settings: Settings, options: Options) -> int:
    """Enter archived events once more, or with `is_dry` report what they would come to."""
    folder = _Folder(settings)
    flow = app.open_flow(settings, folder.log.wake)
    now = datetime.now(UTC)
    wanted = Wanted(
        replaying.read_time(options.start, now),
        replaying.read_time(options.end, now),
        folder.source_id(options.source),
        tuple(options.events),
        options.user,
    )
    if wanted.from_ms >= wanted.to_ms:
        raise Senseless("--from must lie before --to")
    _check_destination(folder.snapshot, wanted.source_id, options)
    reading = Reading(folder.log, folder.snapshot, flow.pipeline.position(), folder.traces)
    if options.is_dry:
        return _dry(settings, options, folder, reading, wanted)
    intake, told = _Intake(flow), _Told()
    entered = replaying.replay(reading.events(wanted), options.destination, intake, told, rate=options.rate)
    told.end(entered, reading)
    return 0


def _check_destination(snapshot: Snapshot, source_id: str, options: Options) -> None:
    """Raises Senseless where a replay could not arrive. Judgement: the product replays to disabled destinations; here
    it is enabled first, with a filter against new events if they should not go there."""
    files = (options.plan, options.filter, options.transformation, options.function)
    if any(files) and not options.is_dry:
        raise Senseless("--plan, --filter, --transformation and --function go with --dry-run")
    if not options.destination:
        return
    destination = snapshot.destinations.get(options.destination)
    if destination is None:
        raise Senseless(f"there is no destination {options.destination}")
    if not destination.enabled:
        raise Senseless(f"the destination {options.destination} is disabled and would get nothing: enable it first")
    source = snapshot.sources.get(source_id)
    if source is not None and all(each.id != options.destination for each in source.destinations):
        raise Senseless(f"the destination {options.destination} is not connected to the source {source.slug}")


class _Intake:
    """Where replayed events enter."""

    def __init__(self, flow: SqliteFlow) -> None:
        self._flow = flow

    def enter(self, entries: Sequence[NewEntry]) -> None:
        self._flow.pipeline.enter(entries)

    def waiting(self) -> int:
        return self._flow.waiting(MOST_WAITING + 1)[0]

    def deliveries(self) -> int:
        return self._flow.waiting(MOST_DELIVERIES + 1)[1]


class _Told:
    """A progress line: over and over on a terminal, now and then elsewhere."""

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._next = 0.0
        self._last = ""

    def __call__(self, progress: Progress) -> None:
        waits = f"; waits for {progress.waits_for}" if progress.waits_for else ""
        line = f"{progress.entered:,} events entered, up to {moment(progress.at_ms)} UTC{waits}"
        if self._is_terminal:
            sys.stderr.write("\r" + line.ljust(len(self._last)))
            sys.stderr.flush()
            self._last = line
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + _TELL_SECONDS
            sys.stderr.write(line + "\n")

    def end(self, entered: int, reading: Reading) -> None:
        """Say what came of it."""
        if self._is_terminal and self._last:
            sys.stderr.write("\n")
        for line in _passed_over(reading):
            sys.stderr.write(f"{line}\n")
        sys.stdout.write(
            f"{entered:,} event{'' if entered == 1 else 's'} entered; the pipeline takes them from here.\n"
        )


def _passed_over(reading: Reading) -> list[str]:
    return [f"{count:,} passed over: {reason}" for reason, count in reading.passed_over.most_common()]


# ---- replay --dry-run


def _dry(settings: Settings, options: Options, folder: _Folder, reading: Reading, wanted: Wanted) -> int:
    change = trial.Change(
        source_id=wanted.source_id,
        destination_id=options.destination,
        plan=trial_files.read_plan(options.plan) if options.plan else None,
        filter=trial_files.read_filter(options.filter) if options.filter else None,
        transformation=trial_files.read_transformation(options.transformation) if options.transformation else None,
        function=trial_files.read_function(options.function, options.destination) if options.function else None,
    )
    after = trial.changed(folder.snapshot, change)

    async def compare() -> trial.Report:
        libraries = settings.packages_folder / "functions"
        sandbox = Sandbox(allow_private=settings.allow_private, libraries=libraries)
        return await trial.compare(reading.events(wanted), folder.snapshot, after, options.destination, sandbox)

    report = asyncio.run(compare())
    if options.is_json:
        sys.stdout.write(json.dumps(_as_object(report, reading)) + "\n")
    else:
        _write_report(report, reading, Names(folder.snapshot), is_change=not change.is_empty)
    return 0


def _as_object(report: trial.Report, reading: Reading) -> dict[str, Any]:
    keys = {*report.before, *report.after}
    outcomes = [
        {"destinationId": key[0], "subscriptionId": key[1], "outcome": key[2], "before": report.before[key],
         "after": report.after[key]}
        for key in sorted(keys)
    ]  # fmt: skip
    samples = [
        {"messageId": each.message_id, "destinationId": each.destination_id, "before": each.before,
         "after": each.after, "changes": [_change_object(*change) for change in each.changes]}
        for each in report.samples
    ]  # fmt: skip
    passed_over = dict(reading.passed_over)
    told = {"events": report.events, "different": report.different, "reformed": report.reformed.total()}
    return {**told, "passedOver": passed_over, "outcomes": outcomes, "samples": samples}


def _change_object(path: str, before: Any, after: Any) -> dict[str, Any]:
    told = {"path": path}
    if before is not MISSING:
        told["before"] = before
    if after is not MISSING:
        told["after"] = after
    return told


def _write_report(report: trial.Report, reading: Reading, names: Names, *, is_change: bool) -> None:
    write, paint = sys.stdout.write, Paint(sys.stdout)
    write(f"{report.events:,} events, {report.different:,} with another fate. Nothing was written or sent.\n")
    write("".join(f"{line}\n" for line in _passed_over(reading)))
    if not report.events:
        return
    columns = f"{'AS IT IS':>12}" + (f"{'AFTERWARDS':>12}" if is_change else "")
    write(f"\n{'OUTCOME':<76}{columns}\n")
    for key in sorted({*report.before, *report.after}):
        where = _where(names, key[0], key[1])
        counts = f"{report.before[key]:>12,}" + (f"{report.after[key]:>12,}" if is_change else "")
        write(f"{cut(f'{where}: {key[2]}', 75):<76}{counts}\n")
    for (destination_id, subscription_id), count in report.reformed.items():
        write(f"{_where(names, destination_id, subscription_id)}: {count:,} the same way, with other content\n")
    if report.samples:
        write(f"\nSamples ({len(report.samples)})\n")
    for sample in report.samples:
        write(paint("strong", terminal.printable(sample.message_id)) + "\n")
        write(f"  {_where(names, sample.destination_id, '')}: {sample.before} → {sample.after}\n")
        for path, before, after in sample.changes:
            write(f"    {_difference(path, before, after)}\n")


def _where(names: Names, destination_id: str, subscription_id: str) -> str:
    if not destination_id:
        return "at the source"
    return names.destination(destination_id) + names.mapping(destination_id, subscription_id)


def _difference(path: str, before: Any, after: Any) -> str:
    if before is MISSING:
        return f"+ {path}: {cut(compact(after), 60)}"
    if after is MISSING:
        return f"- {path}: {cut(compact(before), 60)}"
    return f"~ {path}: {cut(compact(before), 40)} → {cut(compact(after), 40)}"
