"""Composition: the only place that knows every part. Reads top to bottom; nothing is built at import."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mainstem import __version__, http_server, public_api, tracking_api
from mainstem.delivery import deliver, process
from mainstem.delivery.attempts import AttemptLog
from mainstem.delivery.equipment import equipped
from mainstem.destinations import oauth
from mainstem.destinations.actions import catalogue
from mainstem.engines.schema import Migration
from mainstem.engines.sqlite_control import FILE as CONTROL_FILE
from mainstem.engines.sqlite_control import SqliteControl
from mainstem.engines.sqlite_events import SqliteEventLog
from mainstem.engines.sqlite_flow import SqliteFlow
from mainstem.engines.sqlite_function_log import SqliteFunctionLog
from mainstem.engines.sqlite_snapshot import SqliteSnapshotStore
from mainstem.engines.sqlite_tokens import SqliteTokens
from mainstem.engines.sqlite_traces import FILE as TRACES_FILE
from mainstem.engines.sqlite_traces import SqliteTraces
from mainstem.errors import MainstemError, SettingsError
from mainstem.mail import Mailer, read_server
from mainstem.model.ports import LearnedSchemas
from mainstem.model.snapshot import DestinationConfig, LiveSnapshot, SnapshotStore
from mainstem.public_api import labels, reference, scanner_keys, workspaces
from mainstem.public_api.http import PublicApi
from mainstem.public_api.oauth import OAuthPages
from mainstem.public_api.secret_scanning import SecretScanning
from mainstem.rest import audit, ids, tokens
from mainstem.rest.dispatch import Dispatcher
from mainstem.rest.tokens import Access
from mainstem.serve import FolderLock, Part, Supervisor, free_addresses
from mainstem.settings import Address, Settings
from mainstem.vault import Vault, note_serving, open_vault

if TYPE_CHECKING:
    import ssl

    from mainstem.engines.postgres_control import PostgresControl
    from mainstem.rest.limits import Windows

_LAST_MAIL_SECONDS: Final = 3.0  # that a stopping server still gives to mail


def utc_now() -> dt.datetime:
    """The clock of a real server."""
    return dt.datetime.now(dt.UTC)


def clock(settings: Settings) -> Callable[[], dt.datetime]:
    """What the Public API reads the time from: the clock of the machine, or that of a test, which starts now."""
    start, began = settings.clock, time.monotonic()
    if start is None:
        return utc_now
    if settings.clock_fixed:
        return lambda: start
    return lambda: start + dt.timedelta(seconds=time.monotonic() - began)


def serve(settings: Settings) -> int:
    """Start everything on the data folder and return when it was told to stop."""
    folder = settings.data
    _make_folder(folder)
    _check_certificate(settings)
    _warn_of_tests(settings)
    lock = FolderLock(folder)
    try:
        _serve(settings)
    finally:
        lock.release()
    return 0


def _serve(settings: Settings) -> None:
    public_api.check_overrides(settings)
    public_api.check_features(settings)
    oauth.read_clients(settings.oauth_clients)  # what is wrong there must not end one process again and again
    scanner_keys.open_keys(settings.secret_scanning, settings.secret_scanning_keys)
    api, tracking = free_addresses({"--api": settings.api, "--tracking": settings.tracking})
    vault = open_vault(settings.data, settings.secret_key, settings.old_secret_keys)
    secret = prepare(settings, vault)
    if settings.secret_key:
        note_serving(settings.data, vault)
    open_flow(settings).close()  # makes or migrates its file before several processes want it
    parts = [
        *_public_apis(settings, api, vault),
        Part("tracking-api", 0, lambda stop: run_tracking_api(settings, tracking, vault, stop)),
        Part("pipeline", 1, lambda stop: run_pipeline(settings, vault, stop)),
    ]
    for number in range(settings.workers):
        share = (number, settings.workers)
        parts.append(Part(f"delivery-{number}", 2, _delivery(settings, vault, share)))
    Supervisor(parts, settings.data).run(
        lambda: _answers(api) and _answers(tracking), lambda: _announce(settings, api, tracking, secret)
    )


def _public_apis(settings: Settings, address: Address, vault: Vault) -> list[Part]:
    """The processes of the Public API. Several listen on one address, and count towards rate limits together."""
    names = [f"public-api-{number}" for number in range(settings.api_workers)]
    if settings.api_workers == 1:
        return [Part("public-api", 0, lambda stop: run_public_api(settings, address, vault, stop))]
    if sys.platform != "linux":
        raise SettingsError("--api-workers: several processes can share an address on Linux only")
    from mainstem.engines.shared_windows import SharedWindows  # only where it is wanted

    windows = SharedWindows()
    return [Part(name, 0, lambda stop: run_public_api(settings, address, vault, stop, windows)) for name in names]


def migrate(settings: Settings) -> list[Migration]:
    """Bring every store of the data folder to this version; returns the steps of the control database."""
    _make_folder(settings.data)
    if not any(settings.data.glob("*.db")):
        # a folder without its key would be refused by `serve`
        open_vault(settings.data, settings.secret_key, settings.old_secret_keys)
    control = open_control(settings)
    taken = control.migrate()
    control.close()
    open_flow(settings).close()
    return taken


def open_control(settings: Settings) -> SqliteControl | PostgresControl:
    """Where configuration is kept. Raises SettingsError when the driver of PostgreSQL is not installed."""
    if settings.database is None:
        return SqliteControl(settings.data)
    _check_driver()
    from mainstem.engines.postgres_control import PostgresControl  # only where it is wanted: driver and dialect

    return PostgresControl(settings.database.text)


def is_started(settings: Settings) -> bool:
    """Whether `serve` or `migrate` ran before. Raises EngineUnavailable when the database cannot be reached."""
    with contextlib.closing(open_control(settings)) as control:
        return control.schema() > 0


def _check_driver() -> None:
    try:
        import psycopg  # noqa: F401  # the one question is whether it is there
    except ImportError as error:
        raise SettingsError(
            f"--database needs the driver of PostgreSQL: pip install 'mainstem[postgres]' ({error})"
        ) from None


def open_flow(settings: Settings, wake_pipeline: Callable[[], None] = lambda: None) -> SqliteFlow:
    """The store between pipeline, delivery and metrics; `wake_pipeline` is called when something enters beside
    the log."""
    return SqliteFlow(settings.data, dedupe_max_ids=settings.dedupe_max_ids, wake_pipeline=wake_pipeline)


def open_event_log(settings: Settings) -> SqliteEventLog:
    """The requests that were acknowledged."""

    def durable_position() -> int:
        # Opened when it is asked for, which is seldom: the Tracking API starts, and answers 503, also while
        # flow.db cannot be opened.
        with contextlib.closing(open_flow(settings)) as flow:
            return flow.durable_position()

    return SqliteEventLog(
        settings.data / "events.db",
        processed=durable_position,
        keep_bytes=settings.archive_bytes,
        keep_hours=settings.archive_hours,
    )


def open_traces(settings: Settings, vault: Vault) -> SqliteTraces:
    """What became of events."""
    path, hours = settings.data / TRACES_FILE, settings.archive_hours
    return SqliteTraces(path, vault, keep_bytes=settings.archive_bytes, keep_hours=hours)


def open_mailer(settings: Settings) -> Mailer | None:
    """Who sends mail; None when no server is set."""
    return Mailer(read_server(settings.smtp_url), settings.mail_from) if settings.smtp_url else None


def open_snapshot(settings: Settings, vault: Vault) -> LiveSnapshot:
    """What the data plane knows of the configuration."""
    return LiveSnapshot(open_snapshot_store(settings, vault))


def open_snapshot_store(settings: Settings, vault: Vault) -> SnapshotStore:
    """Where the data plane reads what was published. Raises SettingsError when a driver is not installed."""
    if settings.database is None:
        return SqliteSnapshotStore(settings.data / CONTROL_FILE, vault.open)
    _check_driver()
    from mainstem.engines.postgres_snapshot import PostgresSnapshotStore  # only where it is wanted

    return PostgresSnapshotStore(settings.database.text, vault.open)


def operations(settings: Settings, database: SqliteControl | PostgresControl, vault: Vault) -> Dispatcher:
    """The operations of the Public API for who runs them at the terminal."""
    flow = open_flow(settings)
    catalogue.use(settings.packages_folder)
    kept = SqliteTokens(settings.data, vault.seal, vault.open)
    return public_api.build(settings, database, vault, flow.outcomes, clock(settings), kept, flow.learned)


def learned(settings: Settings) -> LearnedSchemas:
    """What sources were seen to send."""
    return open_flow(settings).learned


def run_public_api(
    settings: Settings, address: Address, vault: Vault, stop: threading.Event, windows: Windows | None = None
) -> None:
    """The life of a process of the Public API; `windows` are the rate limits' when there are several."""
    control, flow = open_control(settings), open_flow(settings)
    _seed(settings, control)
    kept = SqliteTokens(settings.data, vault.seal, vault.open)
    catalogue.use(settings.packages_folder)
    mailer = open_mailer(settings)
    send = None if mailer is None else mailer.send
    dispatcher = public_api.build(
        settings, control, vault, flow.outcomes, clock(settings), kept, flow.learned, send, windows=windows
    )
    authorization = OAuthPages(
        control, vault, oauth.read_clients(settings.oauth_clients), kept, utc_now,
        base_url=settings.public_api_url, has_tls=settings.tls_cert is not None,
    )  # fmt: skip
    pages = [reference.page, authorization.page]
    keys = scanner_keys.open_keys(settings.secret_scanning, settings.secret_scanning_keys)
    if keys is not None:
        pages.append(SecretScanning(control, vault, keys, clock(settings), send, windows).page)
    app = PublicApi(
        dispatcher,
        max_request_bytes=settings.max_request_bytes,
        is_database_local=settings.database is None,
        pages=pages,
    )
    http_server.tune_interpreter()
    shares_address = settings.api_workers > 1
    http_server.run(app, app.terms, address, stop, tls=_tls(settings), shares_address=shares_address)
    if mailer is not None:
        mailer.close(_LAST_MAIL_SECONDS)


def run_tracking_api(settings: Settings, address: Address, vault: Vault, stop: threading.Event) -> None:
    """The life of the Tracking API's process."""
    log = open_event_log(settings)
    app = tracking_api.build(settings, open_snapshot(settings, vault), log)
    http_server.tune_interpreter()
    http_server.run(app, tracking_api.TERMS, address, stop, tls=_tls(settings))
    log.close()


def run_pipeline(settings: Settings, vault: Vault, stop: threading.Event) -> None:
    """The life of the pipeline's process."""
    log = open_event_log(settings)
    _when(stop, log.wake)  # an idle pipeline sleeps on the log
    snapshot, traces = open_snapshot(settings, vault), open_traces(settings, vault)
    process.process(log, open_flow(settings).pipeline, snapshot, stop, time.time, traces=traces, tidy=log.tidy)


def run_delivery(settings: Settings, vault: Vault, share: tuple[int, int], stop: threading.Event) -> None:
    """The life of a delivery worker's process."""
    log, snapshot = open_event_log(settings), open_snapshot(settings, vault)
    function_log, tokens = (
        SqliteFunctionLog(settings.data, vault),
        SqliteTokens(settings.data, vault.seal, vault.open),
    )
    clients = oauth.read_clients(settings.oauth_clients)

    def client(metadata_id: str) -> dict[str, Any] | None:
        known = clients.get(metadata_id)
        return known.for_runner() if known is not None else None

    equipment = equipped(settings, snapshot, function_log, tokens, client)

    def find_destination(destination_id: str) -> DestinationConfig | None:
        return snapshot.current.destinations.get(destination_id)

    attempts = AttemptLog(open_traces(settings, vault), find_destination)
    deliver.run(open_flow(settings, log.wake).queue, snapshot, settings, share, stop, equipment, attempts)


def _delivery(settings: Settings, vault: Vault, share: tuple[int, int]) -> Callable[[threading.Event], None]:
    return lambda stop: run_delivery(settings, vault, share, stop)


def _tls(settings: Settings) -> ssl.SSLContext | None:
    return http_server.tls_context(settings.tls_cert, settings.tls_key) if settings.tls_cert else None


def _when(stop: threading.Event, act: Callable[[], object]) -> None:
    """Call `act` from a thread once `stop` is set."""

    def wait() -> None:
        stop.wait()
        act()

    threading.Thread(target=wait, daemon=True).start()


def _check_certificate(settings: Settings) -> None:
    """Raises SettingsError when certificate and key cannot be used, before any process is started."""
    if not settings.tls_cert or not settings.tls_key:
        return
    import ssl  # only where TLS is wanted

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password="")  # never ask at a terminal
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "cannot be read"
        raise SettingsError(f"--tls-cert and --tls-key: {reason}") from None


def _warn_of_tests(settings: Settings) -> None:
    """Say loudly what no instance with real data may have."""
    given = [f"--{name}" for name in ("seed", "clock") if getattr(settings, name)]
    if given:
        sys.stderr.write(
            f"mainstem: {' and '.join(given)}: for tests only. Ids and write keys can be foretold, or times are not "
            "real; no real data belongs here.\n"
        )


def _seed(settings: Settings, database: SqliteControl | PostgresControl) -> None:
    """Seed what ids come from. The rows of the audit trail count too: a server that starts again on its folder makes
    other ids than before."""
    if settings.seed:
        with database.transaction(writes=False) as db:
            ids.seed(f"{settings.seed}:{audit.count(db)}")


def _make_folder(folder: Path) -> None:
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for each in made:  # a power loss must not take the folder with all that is fsynced in it
            with contextlib.suppress(PermissionError):  # writable, yet not readable
                _fsync_folder(each.parent)
    except OSError as error:
        raise MainstemError(f"--data {folder}: {error.strerror}") from None


def _fsync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def prepare(settings: Settings, vault: Vault) -> str:
    """Migrate, and on the first start make the workspace and its owner token; returns the token's secret
    then, "" on every later start. Raises SettingsError when the folder was written under another key."""
    control, now = open_control(settings), clock(settings)()
    control.migrate()
    _seed(settings, control)
    with contextlib.closing(control), control.transaction(writes=True) as db:
        if workspaces.find_first(db) is not None:
            if not audit.is_kept_under(db, vault):
                raise SettingsError(
                    f"the key of {settings.data} is not the one that it was written with, or the end of its audit "
                    "trail was changed; `mainstem audit verify` with the right key tells"
                )
            secret = ""
        else:
            secret = settings.owner_token or tokens.new_secret()
            workspace = workspaces.create(db, "My workspace", "my-workspace", "owner@localhost", now)
            labels.add_default_labels(db, workspace.id)
            token = tokens.create(db, vault, workspace.id, "First owner token", Access.OWNER, now, secret)
            audit.record(
                db, vault, workspace_id=workspace.id, at=now, type="Access Token Created",
                actor=audit.SYSTEM, resource_type="TOKEN", resource_id=token.id, resource_name=token.description,
            )  # fmt: skip
    return secret


def _announce(settings: Settings, api: Address, tracking: Address, secret: str) -> None:
    """Say what runs where."""
    scheme = "https" if settings.tls_cert else "http"
    lines = [
        "",
        f"mainstem {__version__} is up, data in {settings.data}",
        "",
        f"  Public API    {scheme}://{api}   (reference: {scheme}://{api}/docs)",
        f"  Tracking API  {scheme}://{tracking}",
        "",
    ]
    if secret:
        lines += _first_words(settings, f"{scheme}://{api}", f"{scheme}://{tracking}", secret)
    catalogue.use(settings.packages_folder)
    if not catalogue.installed():
        lines += [
            "Segment's open-source destinations, over 200 of them, are not installed:",
            "",
            f"  {sys.argv[0]} destinations install --packages {settings.packages_folder}   (110 MB)",
            "",
        ]
    lines.append("Ctrl-C stops it.")
    with contextlib.suppress(OSError):  # nobody reads it any more, which is no reason to stop
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()


def _first_words(settings: Settings, api: str, tracking: str, secret: str) -> list[str]:
    if settings.owner_token:
        shown = "The owner token is the one in MAINSTEM_OWNER_TOKEN."
        authorization = '"Authorization: Bearer $MAINSTEM_OWNER_TOKEN"'
    else:
        shown = f"A workspace was made. Its owner token, shown only this once:\n\n  {secret}"
        authorization = f'"Authorization: Bearer {secret}"'
    source = '{"slug": "shop", "enabled": true, "metadataId": "iUM16Md8P2"}'
    event = '{"userId": "u1", "event": "Order Completed"}'
    json = '-H "Content-Type: application/json"'
    return [
        shown,
        "",
        "Three lines to try (the second answers with the write key that the third needs):",
        "",
        f"  curl -H {authorization} {api}/",
        f"  curl -H {authorization} {json} -d '{source}' {api}/sources",
        f"  curl -u WRITE_KEY: {json} -d '{event}' {tracking}/v1/track",
        "",
    ]


def _answers(address: Address) -> bool:
    """Whether somebody listens there."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104  # compared, not bound
    try:
        socket.create_connection((host, address.port), timeout=1).close()
    except OSError:
        return False
    return True
