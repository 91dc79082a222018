"""The `mainstem` command: reads settings, calls `app.py`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from mainstem import __version__, settings
from mainstem.errors import MainstemError
from mainstem.settings import Settings

PROCESS_LIST_HINT: Final = (
    "the password in --database shows in the list of processes; give the URL as MAINSTEM_DATABASE, "
    "or the password in ~/.pgpass"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code. What a user can mend is one line on stderr, never a trace."""
    parsed = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
        stream=sys.stderr,
    )
    try:
        code: int = parsed.run(_settings(parsed), parsed)
    except (MainstemError, OSError) as error:  # OSError: a folder that cannot be written, a full disk
        sys.stderr.write(f"mainstem: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return code


def _settings(parsed: argparse.Namespace) -> Settings:
    flags = {
        name: "on" if value is True else value
        for name in Settings.__struct_fields__
        if (value := getattr(parsed, name, None)) is not None
    }
    read = settings.read_settings(flags, os.environ)
    if "database" in flags and read.database is not None and read.database.has_password:
        sys.stderr.write(f"mainstem: {PROCESS_LIST_HINT}\n")
    return read


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mainstem",
        description="A self-hosted customer data platform that answers to the Segment Public API and Tracking API.",
    )
    parser.add_argument("--version", action="version", version=f"mainstem {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = _command(commands, "serve", "start everything and keep it running", _serve)
    for name in Settings.__struct_fields__:
        if name not in {"data", "database", "workspace"} and name not in settings.ENVIRONMENT_ONLY:
            _add_setting(serve, name)
    doctor = _command(commands, "doctor", "check folder, disk, ports, clock, versions and queues", _doctor)
    for name in ("api", "tracking"):
        _add_setting(doctor, name)
    text = "also follow every reference of the control database; reads all of it"
    doctor.add_argument("--deep", action="store_true", help=text)
    _command(commands, "migrate", "bring the data folder to this version", _migrate)
    _add_tokens(commands)
    _add_users(commands)
    _add_audit(commands)
    _add_secrets(commands)
    _add_dead_letters(commands)
    _add_destinations(commands)
    _add_functions(commands)
    _add_schema(commands)
    _add_suppressions(commands)
    _add_traces(commands)
    _add_workspaces(commands)
    return parser


Command = Callable[[Settings, argparse.Namespace], int]


def _command(
    commands: Any, name: str, help: str, run: Command, *, at_workspace: bool = False
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=help[:1].upper() + help[1:] + "."
    )
    parser.set_defaults(run=run)
    for name in ("data", "database", *(["workspace"] if at_workspace else [])):
        _add_setting(parser, name)
    return parser


def _add_setting(parser: argparse.ArgumentParser, name: str) -> None:
    default = getattr(Settings(), name)
    text = f"{settings.describe(name)} [{settings.shown(default)}; {settings.variable(name)}]".replace("%", "%%")
    if name in settings.BARE_FLAGS:
        parser.add_argument(settings.flag(name), dest=name, action="store_true", default=None, help=text)
    else:
        parser.add_argument(settings.flag(name), dest=name, metavar=settings.METAVARS.get(name, "VALUE"), help=text)


def _add_tokens(commands: Any) -> None:
    group = commands.add_parser("token", help="create, list or revoke access tokens").add_subparsers(
        required=True, metavar="COMMAND"
    )
    create = _command(
        group, "create", "make an access token and print its secret, this once", _token_create, at_workspace=True
    )
    create.add_argument("--description", required=True, help="what the token is for")
    create.add_argument("--access", choices=["owner", "member"], help="what it may do at most")
    create.add_argument("--user", default="", metavar="EMAIL", help="let it do what this user may")
    _add_roles(create)
    _command(group, "list", "list access tokens and what they may do", _token_list, at_workspace=True)
    revoke = _command(group, "revoke", "revoke an access token for good", _token_revoke, at_workspace=True)
    revoke.add_argument("id", help="the token's id, as `mainstem token list` prints it")
    scan = _command(group, "scan", "find live access tokens in files and in git histories", _token_scan)
    scan.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file, a folder or a git repository")
    scan.add_argument("--revoke", action="store_true", help="revoke what is found, without asking")


def _add_roles(parser: argparse.ArgumentParser) -> None:
    text = "grant a role, on the workspace or on what follows its name; can be given several times"
    parser.add_argument(
        "--role", action="append", default=[], metavar="ROLE[:TYPE=ID|:KEY=VALUE]", help=text, dest="roles"
    )


def _add_users(commands: Any) -> None:
    group = commands.add_parser("user", help="invite people, let them in, or list them").add_subparsers(
        required=True, metavar="COMMAND"
    )
    invite = _command(
        group, "invite", "invite somebody and print the token that accepts", _user_invite, at_workspace=True
    )
    invite.add_argument("email", metavar="EMAIL", help="who is invited")
    _add_roles(invite)
    accept = _command(group, "accept", "make an invited person a user", _user_accept, at_workspace=True)
    accept.add_argument("named", metavar="EMAIL|TOKEN", help="the address that was invited, or the invite's token")
    accept.add_argument("--name", default="", help="the person's name [the address up to the @]")
    _command(group, "list", "list users and pending invites with their roles", _user_list, at_workspace=True)


def _add_audit(commands: Any) -> None:
    group = commands.add_parser("audit", help="check the audit trail").add_subparsers(
        required=True, metavar="COMMAND"
    )
    _command(group, "verify", "find a changed, removed or reordered row of the audit trail", _audit_verify)


def _add_secrets(commands: Any) -> None:
    group = commands.add_parser("secrets", help="look after the key of what is sealed").add_subparsers(
        required=True, metavar="COMMAND"
    )
    _command(group, "rotate", "seal everything under a new key, while the server runs", _secrets_rotate)


def _add_dead_letters(commands: Any) -> None:
    group = commands.add_parser("deadletter", help="look after events that were set aside").add_subparsers(
        required=True, metavar="COMMAND"
    )
    _command(group, "list", "list dead letters, oldest first", _deadletter)
    for name, sentence in (
        ("show", "show a dead letter with its event"),
        ("redrive", "send a dead letter through again"),
        ("drop", "forget a dead letter"),
    ):
        parser = _command(group, name, sentence, _deadletter)
        parser.add_argument("ids", type=int, nargs="*" if name != "show" else 1, metavar="ID")
        if name != "show":
            parser.add_argument("--all", action="store_true", help="every dead letter")
    for name, parser in group.choices.items():
        parser.set_defaults(action=name)


def _add_functions(commands: Any) -> None:
    group = commands.add_parser("function", help="list, try and watch functions").add_subparsers(
        required=True, metavar="COMMAND"
    )
    _command(group, "list", "list functions, oldest first", _function_list, at_workspace=True)
    test = _command(
        group,
        "test",
        "run the newest code of a function on an event, in the sandbox",
        _function_test,
        at_workspace=True,
    )
    test.add_argument("id", help="the function's id, as `mainstem function list` prints it")
    test.add_argument("--event", required=True, metavar="FILE", help="an event, or an array of them; - for stdin")
    test.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE", help="a value of a setting")
    test.add_argument("--handler", default="", help="the handler to call; by default that of the event's type")
    for name in ("allow_private", "packages"):
        _add_setting(test, name)
    logs = _command(
        group,
        "logs",
        "show what a function wrote to the console, and how it failed",
        _function_logs,
        at_workspace=True,
    )
    logs.add_argument("id", help="the function's id")
    logs.add_argument("--follow", action="store_true", help="go on with what comes")


def _add_schema(commands: Any) -> None:
    schema = _command(
        commands,
        "schema",
        "show what a source was seen to send, or switch some of it off",
        _schema,
        at_workspace=True,
    )
    schema.add_argument("source", help="the id or slug of the source")
    schema.add_argument("--type", help="track, identify, page, screen or group [track; of traits: identify]")
    schema.add_argument("--event", metavar="NAME", help="an event: its properties and their types, or its switch")
    schema.add_argument("--trait", metavar="NAME", help="the switch of a trait")
    schema.add_argument("--integration", metavar="NAME", help="the switch of a destination for an event, or a --type")
    which = schema.add_mutually_exclusive_group()
    which.add_argument("--on", dest="on", action="store_true", default=None, help="switch it on again")
    which.add_argument("--off", dest="on", action="store_false", default=None, help="switch it off")


def _add_suppressions(commands: Any) -> None:
    group = commands.add_parser("suppress", help="discard what is sent of users, or show of whom")
    group = group.add_subparsers(required=True, metavar="COMMAND")
    for name, sentence in (
        ("add", "discard all that is sent of these users from now on"),
        ("remove", "let events of these users in again"),
        ("list", "list suppressed users, oldest first"),
    ):
        parser = _command(group, name, sentence, _suppress, at_workspace=True)
        where = "at this source only: its id or slug" + (" [in the whole workspace]" if name != "list" else "")
        parser.add_argument("--source", default="", metavar="SOURCE", help=where)
        if name != "list":
            parser.add_argument("users", nargs="*", metavar="USER_ID", help="the userId that events carry")
            parser.add_argument("--file", type=Path, default=None, help="a file of userIds, one a line; - for stdin")
        parser.set_defaults(action=name)


def _add_destinations(commands: Any) -> None:
    group = commands.add_parser(
        "destinations", help="install or list Segment's open-source destinations, or use their presets"
    )
    group = group.add_subparsers(required=True, metavar="COMMAND")
    for name, sentence in (
        ("install", "install the destinations, the browser library, and the libraries of functions"),
        ("list", "list the destinations, and say whether they are installed"),
    ):
        parser = _command(group, name, sentence, _destinations)
        _add_setting(parser, "packages")
        parser.set_defaults(action=name)
    presets = _command(
        group,
        "presets",
        "show the presets of a destination, or make subscriptions of them",
        _presets,
        at_workspace=True,
    )
    _add_setting(presets, "packages")
    presets.add_argument("id", metavar="DESTINATION_ID", help="the destination's id")
    presets.add_argument("--create", action="store_true", help="make those that are not there, disabled")
    presets.add_argument("--enable", action="store_true", help="with --create: and enable them")


def _add_traces(commands: Any) -> None:
    trace = _command(
        commands, "trace", "tell the whole life of an event, or show samples of a discard reason", _trace
    )
    trace.add_argument("message_id", nargs="?", default="", metavar="MESSAGE_ID")
    trace.add_argument("--source", default="", metavar="SOURCE", help="of this source only: its id or slug")
    trace.add_argument("--reason", default="", metavar="CODE", help="samples of what was discarded for this reason")
    trace.add_argument(
        "--destination", default="", metavar="ID", help="with --reason: where; by default at the source"
    )
    trace.add_argument("--json", action="store_true", help="one JSON object")
    tail = _command(commands, "tail", "show events live, with their fate as it becomes known", _tail)
    tail.add_argument("--source", default="", metavar="SOURCE", help="of this source only: its id or slug")
    tail.add_argument("--event", default="", metavar="NAME", help="of this name only")
    tail.add_argument("--json", action="store_true", help="one JSON object a line")
    replay = _command(commands, "replay", "send archived events through again, as the configuration is now", _replay)
    times = "ISO 8601, or how long ago: 90m, 2h, 3d"
    replay.add_argument("--from", required=True, dest="start", metavar="TIME", help=f"received since then: {times}")
    replay.add_argument("--to", default="now", dest="end", metavar="TIME", help="received before then [now]")
    replay.add_argument("--source", default="", metavar="SOURCE", help="of this source only: its id or slug")
    replay.add_argument("--event", action="append", default=[], metavar="NAME", help="of this name; may be repeated")
    replay.add_argument("--user", default="", metavar="ID", help="with this userId or anonymousId")
    replay.add_argument("--destination", default="", metavar="ID", help="to this destination only; by default to all")
    replay.add_argument("--rate", type=float, default=0.0, metavar="N", help="at most so many events a second")
    replay.add_argument("--dry-run", action="store_true", help="write and send nothing, report what would come of it")
    for name, what in (
        ("plan", "tracking plan"), ("filter", "destination filter"), ("transformation", "transformation"),
        ("function", "insert function (.js, or JSON)"),
    ):  # fmt: skip
        help_text = f"with --dry-run: compare with this {what} in place"
        replay.add_argument(f"--{name}", type=Path, default=None, metavar="FILE", help=help_text)
    replay.add_argument("--json", action="store_true", help="with --dry-run: one JSON object")


def _add_workspaces(commands: Any) -> None:
    group = commands.add_parser("workspace", help="keep workspaces as files, copy them, or make new ones")
    group = group.add_subparsers(required=True, metavar="COMMAND")
    _command(group, "list", "list the workspaces of the instance", _workspace_list)
    create = _command(group, "create", "make a workspace and print the token of its owner", _workspace_create)
    create.add_argument("name", metavar="NAME", help="what it is called")
    create.add_argument("--slug", default="", help="its name in URLs and commands [made of the name]")
    create.add_argument("--owner", default="owner@localhost", metavar="EMAIL", help="its owner [owner@localhost]")
    export = _command(group, "export", "write a whole workspace as a file", _workspace_export, at_workspace=True)
    _add_setting(export, "packages")
    export.add_argument("--format", choices=["json", "terraform"], default="json", help="[json]")
    out = "a file, or for Terraform a folder [standard output]"
    export.add_argument("--out", type=Path, default=None, metavar="FILE|DIR", help=out)
    keys = "write the write keys here, as `import --secrets` takes them"
    export.add_argument("--write-keys", type=Path, default=None, metavar="FILE", help=keys)
    take = _command(group, "import", "bring a workspace to what a file says", _workspace_import, at_workspace=True)
    _add_setting(take, "packages")
    take.add_argument("file", type=Path, metavar="FILE", help="what `export` or `pull` wrote")
    take.add_argument(
        "--plan", action="store_true", help="only say what would change; exit code 2 when something would"
    )
    take.add_argument("--yes", action="store_true", help="apply without asking")
    take.add_argument("--prune", action="store_true", help="delete what the file does not have")
    take.add_argument("--secrets", type=Path, default=None, metavar="FILE", help="JSON: secrets by their names")
    pull = _command(group, "pull", "read a workspace from another server into a file", _workspace_pull)
    pull.add_argument("--url", required=True, help="the other server's Public API; its token is MAINSTEM_PULL_TOKEN")
    pull.add_argument("--out", type=Path, default=None, metavar="FILE", help="[standard output]")
    pull.add_argument("--write-keys", type=Path, default=None, metavar="FILE", help=keys)


# Commands import what they need when they run, so that `mainstem --help` answers at once.


def _serve(values: Settings, _parsed: argparse.Namespace) -> int:
    from mainstem import app

    return app.serve(values)


def _doctor(values: Settings, parsed: argparse.Namespace) -> int:
    from mainstem.commands import doctor

    return doctor.run(values, is_deep=parsed.deep)


def _migrate(values: Settings, _parsed: argparse.Namespace) -> int:
    from mainstem import app

    taken = app.migrate(values)
    sys.stdout.write("".join(f"{step.number:04d} {step.name}\n" for step in taken) or "Nothing to do.\n")
    return 0


def _token_create(values: Settings, parsed: argparse.Namespace) -> int:
    from mainstem.commands import tokens

    return tokens.create(values, parsed.description, parsed.access, parsed.user, parsed.roles)


def _token_list(values: Settings, _parsed: argparse.Namespace) -> int:
    from mainstem.commands import tokens

    return tokens.show_all(values)


def _token_revoke(values: Settings, parsed: argparse.Namespace) -> int:
    from mainstem.commands import tokens

    return tokens.revoke(values, parsed.id)


def _token_scan(values: Settings, parsed: argparse.Namespace) -> int:
    from mainstem.commands import scan

    return scan.run(values, parsed.paths, revoke=parsed.revoke, ask=scan.asked)


def _user_invite(values: Settings, parsed: argparse.Namespace) -> int:
    from mainstem.commands import users

    return users.invite(values, parsed.email, parsed.roles)


def _user_accept(values: Settings, parsed: argparse.Namespace) -> int:
    from mainstem.commands import users

    return users.accept(values, parsed.named, parsed.name)


def _user_list(values: Settings, _parsed: argparse.Namespace) -> int:
    from mainstem.commands import users

    return users.show_all(values)


def _audit_verify(values: Settings, _parsed: argparse.Namespace) -> int:
    from mainstem.commands import administration

    return administration.verify_audit(values)


def _secrets_rotate(values: Settings, _parsed: argparse.Namespace) -> int:
    from mainstem.commands import secrets

    return secrets.rotate(values)


def _schema(values: Settings, parsed: argparse.Namespace) -> int:
    from mainstem.commands import schema

    asked = schema.Asked(parsed.source, parsed.type, parsed.event, parsed.trait, parsed.integration, parsed.on)
    return schema.run(values, asked)


def _suppress(values: Settings, parsed: argparse.Namespace) -> int:
    from mainstem.commands import suppressions

    if parsed.action == "list":
        return suppressions.list_users(values, parsed.source)
    return suppressions.change(values, parsed.action, parsed.source, parsed.users, parsed.file)


def _destinations(values: Settings, parsed: argparse.Namespace) -> int:
    from mainstem.commands import destinations

    act = {"install": destinations.install, "list": destinations.list_destinations}[parsed.action]
    return act(values, sys.stdout.write)


def _presets(values: Settings, parsed: argparse.Namespace) -> int:
    from mainstem.commands import presets

    return presets.run(values, parsed.id, create=parsed.create, enable=parsed.enable)


def _deadletter(values: Settings, parsed: argparse.Namespace) -> int:
    from mainstem.commands import administration

    return administration.dead_letters(
        values, parsed.action, getattr(parsed, "ids", []), getattr(parsed, "all", False)
    )


def _function_list(values: Settings, _parsed: argparse.Namespace) -> int:
    from mainstem.commands import functions

    return functions.list_functions(values)


def _function_test(values: Settings, parsed: argparse.Namespace) -> int:
    from mainstem.commands import functions

    return functions.test(values, parsed.id, parsed.event, parsed.setting, parsed.handler)


def _function_logs(values: Settings, parsed: argparse.Namespace) -> int:
    from mainstem.commands import functions

    return functions.logs(values, parsed.id, follow=parsed.follow)


def _trace(values: Settings, parsed: argparse.Namespace) -> int:
    from mainstem.commands import traces

    wanted = (parsed.message_id, parsed.source, parsed.reason, parsed.destination)
    return traces.trace(values, *wanted, parsed.json)


def _tail(values: Settings, parsed: argparse.Namespace) -> int:
    from mainstem.commands import traces

    return traces.tail(values, parsed.source, parsed.event, parsed.json)


def _replay(values: Settings, parsed: argparse.Namespace) -> int:
    from mainstem.commands import traces

    options = traces.Options(
        start=parsed.start, end=parsed.end, source=parsed.source, events=parsed.event, user=parsed.user,
        destination=parsed.destination, rate=parsed.rate, is_dry=parsed.dry_run, plan=parsed.plan,
        filter=parsed.filter, transformation=parsed.transformation, function=parsed.function, is_json=parsed.json,
    )  # fmt: skip
    return traces.replay(values, options)


def _workspace_list(values: Settings, _parsed: argparse.Namespace) -> int:
    from mainstem.commands import workspaces

    return workspaces.show_all(values)


def _workspace_create(values: Settings, parsed: argparse.Namespace) -> int:
    from mainstem.commands import workspaces

    return workspaces.create(values, parsed.name, parsed.slug, parsed.owner)


def _workspace_export(values: Settings, parsed: argparse.Namespace) -> int:
    from mainstem.commands import workspaces

    return workspaces.export(values, parsed.format, parsed.out, parsed.write_keys)


def _workspace_import(values: Settings, parsed: argparse.Namespace) -> int:
    from mainstem.commands import workspaces

    return workspaces.import_file(
        values, parsed.file, is_plan=parsed.plan, is_sure=parsed.yes, prune=parsed.prune, secrets=parsed.secrets
    )


def _workspace_pull(values: Settings, parsed: argparse.Namespace) -> int:
    from mainstem.commands import workspaces

    return workspaces.pull(values, parsed.url, parsed.out, parsed.write_keys)


if __name__ == "__main__":
    sys.exit(main())
