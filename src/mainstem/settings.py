"""What an operator can set: one frozen Struct, read once at start and passed on.

Each setting is a flag of `mainstem serve` and a MAINSTEM_ variable of the same name; the flag wins.
An unknown MAINSTEM_ variable is an error, so that a misspelt one is not silently ignored.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from mainstem.errors import SettingsError
from mainstem.mail import read_server

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Address(msgspec.Struct, frozen=True):
    """Where a server listens. IPv6 hosts are written in brackets: [::1]:8080."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """True for localhost, 127.0.0.0/8 and ::1."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class DatabaseUrl(msgspec.Struct, frozen=True):
    """The URL of a PostgreSQL database, which may hold a password: `text` goes to the driver alone."""

    text: str

    @property
    def has_password(self) -> bool:
        """True when a password stands in it."""
        authority = re.split("[/?]", self.text.partition("://")[2], maxsplit=1)[0]
        return ":" in authority.rpartition("@")[0] or "password=" in self.text

    def __str__(self) -> str:
        """What may be shown: without the password, without parameters, and nothing at all where a character of
        the password may have been taken for a part of the URL."""
        scheme, _, rest = self.text.partition("://")
        authority, path = re.match("([^/?]*)([^?]*)", rest).groups()  # type: ignore[union-attr]  # it matches anything
        user, at, place = authority.rpartition("@")
        if rest.count("@") > len(at) or "#" in rest:
            return f"{scheme}://…"
        return f"{scheme}://{user.split(':', 1)[0]}{at}{place}{path}"

    def __repr__(self) -> str:
        return f"DatabaseUrl({str(self)!r})"


def _default_data() -> Path:
    home = os.environ.get("XDG_DATA_HOME")
    return Path(home) / "mainstem" if home else Path.home() / ".local" / "share" / "mainstem"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting, its default, its unit and a sentence."""

    data: Annotated[Path, Meta(description="Folder that holds everything mainstem keeps.")] = msgspec.field(
        default_factory=_default_data
    )
    database: Annotated[
        DatabaseUrl | None,
        Meta(
            description="URL of a PostgreSQL database for the configuration, postgresql://USER:PASSWORD@HOST/NAME; "
            "default: a file in the data folder."
        ),
    ] = None
    workspace: Annotated[
        str, Meta(description="Slug of the workspace that a command works on; needed where there are several.")
    ] = ""
    api: Annotated[Address, Meta(description="HOST:PORT of the Public API.")] = Address("127.0.0.1", 8080)
    tracking: Annotated[Address, Meta(description="HOST:PORT of the Tracking API.")] = Address("127.0.0.1", 8090)
    api_workers: Annotated[
        int, Meta(ge=1, le=64, description="Number of processes that serve the Public API, 1 to 64.")
    ] = 1
    workers: Annotated[int, Meta(ge=1, le=64, description="Number of delivery workers, 1 to 64.")] = 1
    tls_cert: Annotated[Path | None, Meta(description="Certificate chain (PEM) for both servers.")] = None
    tls_key: Annotated[Path | None, Meta(description="Private key (PEM) of --tls-cert.")] = None
    allow_plain_http: Annotated[
        bool, Meta(description="Allow listening beyond loopback without TLS (behind a proxy that has it).")
    ] = False
    allow_private: Annotated[
        tuple[Network, ...],
        Meta(description="Comma-separated CIDRs that destinations and warehouses may reach although private."),
    ] = ()
    trusted_proxies: Annotated[
        tuple[Network, ...],
        Meta(description="Comma-separated CIDRs whose X-Forwarded-For is believed for context.ip."),
    ] = ()
    rate_limits: Annotated[bool, Meta(description="on or off: the Public API's rate limits.")] = True
    default_rate_limit: Annotated[
        int, Meta(ge=1, description="Requests per minute, token and operation where the contract names no limit.")
    ] = 1000
    rate_limit_overrides: Annotated[
        Mapping[str, int],
        Meta(description="Raised limits per minute: OPERATION=N, TOKEN_ID=N or TOKEN_ID:OPERATION=N, by commas."),
    ] = {}
    features_off: Annotated[
        tuple[str, ...],
        Meta(description="Comma-separated features of the contract that are refused, such as Protocols."),
    ] = ()
    strict_write_keys: Annotated[
        bool, Meta(description="on: the Tracking API answers 401 to an unknown write key instead of 200.")
    ] = False
    public_tracking_url: Annotated[
        str,
        Meta(description="URL by which browsers reach the Tracking API; default: the request's own host."),
    ] = ""
    owner_token: Annotated[
        str, Meta(description="Becomes the first owner token when the workspace is created (for CI).")
    ] = ""
    secret_key: Annotated[
        str, Meta(description="Base64 of 32 bytes that seal secrets; default: a key file in the data folder.")
    ] = ""
    old_secret_keys: Annotated[
        tuple[str, ...],
        Meta(description="Comma-separated keys that MAINSTEM_SECRET_KEY takes the place of, until they are rotated."),
    ] = ()
    secret_scanning: Annotated[
        str,
        Meta(
            description="Take reports of leaked tokens at /secret-scanning/report, signed with a key of this list: "
            "`github` or an https URL."
        ),
    ] = ""
    secret_scanning_keys: Annotated[
        Path | None, Meta(description="File of keys that sign reports of leaked tokens, for a scanner of one's own.")
    ] = None
    max_request_bytes: Annotated[int, Meta(ge=1024, description="Largest body of a Public API call, in bytes.")] = (
        10 * 1024 * 1024
    )
    dedupe_max_ids: Annotated[
        int,
        Meta(ge=1, description="Most messageIds remembered per 24 hours for deduplication; about 16 bytes each."),
    ] = 50_000_000
    packages: Annotated[
        Path | None, Meta(description="Folder of `mainstem destinations install`; by default in the data folder.")
    ] = None
    divert_to: Annotated[
        str,
        Meta(
            description="URL that gets every request of Actions destinations in place of the partner, which a header "
            "names; for trials and tests."
        ),
    ] = ""
    oauth_clients: Annotated[
        Path | None,
        Meta(description="File that says by which OAuth clients destinations are authorized; see operations.md."),
    ] = None
    public_api_url: Annotated[
        str,
        Meta(description="URL by which browsers reach the Public API (OAuth); default: the request's own host."),
    ] = ""
    smtp_url: Annotated[
        str,
        Meta(description="smtp://USER:PASSWORD@HOST:PORT, or smtps://: the server that sends invitations by mail."),
    ] = ""
    mail_from: Annotated[str, Meta(description="Who mail is from: NAME@HOST. Goes with MAINSTEM_SMTP_URL.")] = ""
    archive_hours: Annotated[
        float, Meta(ge=0, description="How long processed requests and the traces of events are kept, in hours.")
    ] = 72.0
    archive_bytes: Annotated[
        int,
        Meta(ge=0, description="Most bytes of events.db, and of traces.db, for what was processed; the oldest goes."),
    ] = 5 * 1024**3
    delivery_concurrency: Annotated[
        int, Meta(ge=1, description="Requests in flight towards one destination, per delivery worker.")
    ] = 64
    retry_hours: Annotated[float, Meta(ge=0, description="How long a failing delivery is tried again, in hours.")] = (
        4.0
    )
    retry_base_seconds: Annotated[
        float, Meta(ge=0, description="First wait before a retry, in seconds; doubles.")
    ] = 30.0
    retry_cap_seconds: Annotated[float, Meta(ge=0, description="Longest wait between retries, in seconds.")] = 1800.0

    seed: Annotated[
        str, Meta(description="For tests only: ids and write keys of the Public API follow from this word.")
    ] = ""
    clock: Annotated[
        dt.datetime | None,
        Meta(description="For tests only: what time it is at the start for the Public API, 2026-01-01T00:00:00Z."),
    ] = None
    clock_fixed: Annotated[bool, Meta(description="With --clock, for tests only: the time stands still.")] = False

    @property
    def packages_folder(self) -> Path:
        """Where installed packages are."""
        return self.packages or self.data / "packages"


BARE_FLAGS: Final = frozenset({"allow_plain_http", "clock_fixed"})  # given without a value
METAVARS: Final = {
    "data": "DIR", "api": "HOST:PORT", "tracking": "HOST:PORT", "workers": "N", "tls_cert": "FILE",
    "api_workers": "N", "database": "URL",
    "tls_key": "FILE", "allow_private": "CIDR,…", "trusted_proxies": "CIDR,…", "rate_limits": "on|off",
    "strict_write_keys": "on|off", "packages": "DIR", "divert_to": "URL",
    "secret_scanning": "github|URL", "secret_scanning_keys": "FILE",
    "oauth_clients": "FILE", "public_api_url": "URL", "mail_from": "NAME@HOST",
    "rate_limit_overrides": "NAME=N,…", "public_tracking_url": "URL", "seed": "WORD",
    "clock": "TIME", "workspace": "SLUG",
}  # fmt: skip
# flags show in the process list
ENVIRONMENT_ONLY: Final = frozenset({"owner_token", "secret_key", "old_secret_keys", "smtp_url"})
OF_COMMANDS: Final = frozenset({"MAINSTEM_PULL_TOKEN"})
"""Variables that single commands read and that are no settings."""
_SWITCHES: Final = {"on": True, "off": False, "true": True, "false": False, "1": True, "0": False}


def parse_address(text: str) -> Address:
    """Read HOST:PORT; an IPv6 host stands in brackets."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise ValueError("HOST:PORT is expected, such as 127.0.0.1:8080")
    return Address(host.strip("[]"), int(port))


def _parse_networks(text: str) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def _parse_switch(text: str) -> bool:
    try:
        return _SWITCHES[text.lower()]
    except KeyError:
        raise ValueError("on or off is expected") from None


def _parse_limits(text: str) -> dict[str, int]:
    limits = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, equals, number = part.partition("=")
        if not equals or not number.isdigit() or int(number) < 1:
            raise ValueError("NAME=REQUESTS_PER_MINUTE is expected, separated by commas")
        limits[name] = int(number)
    return limits


def _parse_moment(text: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError("a time is expected, such as 2026-01-01T00:00:00Z") from None
    return moment.replace(tzinfo=moment.tzinfo or dt.UTC).astimezone(dt.UTC)


def _parse_token(text: str) -> str:
    token = text.strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("visible ASCII characters are expected, without blanks between them")
    return token


def _parse_key_list(text: str) -> str:
    """Where the keys of a scanner are published. Who could change them on the way could revoke tokens."""
    parts = urlsplit(text)
    is_local = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if text not in {"", "github"} and not (parts.hostname and (is_local or parts.scheme == "https")):
        raise ValueError("github or an https URL is expected")
    return text


def _parse_database(text: str) -> DatabaseUrl:
    scheme, separator, rest = text.strip().partition("://")
    if scheme not in {"postgresql", "postgres"} or not separator or not rest or re.search(r"\s", rest):
        raise ValueError("postgresql://USER:PASSWORD@HOST:PORT/NAME is expected")  # and what was given is not shown
    return DatabaseUrl(text.strip())


def _bounded(name: str, number: float) -> float:
    meta = _meta(name)
    least, most = meta.ge or 0, meta.le or math.inf
    if not least <= number <= most or math.isinf(number):
        raise ValueError(f"{least} {'or more' if math.isinf(most) else f'to {most}'} is expected, not {number}")
    return number


def _parse(name: str, text: str) -> Any:
    default = getattr(Settings(), name)
    if isinstance(default, bool):
        return _parse_switch(text)
    if isinstance(default, Address):
        return parse_address(text)
    if name == "database":
        return _parse_database(text)
    if name in {"data", "tls_cert", "tls_key", "packages", "oauth_clients", "secret_scanning_keys"}:
        return Path(text).expanduser()
    if name in {"allow_private", "trusted_proxies"}:
        return _parse_networks(text)
    if name == "rate_limit_overrides":
        return _parse_limits(text)
    if name == "clock":
        return _parse_moment(text)
    if name == "owner_token":
        return _parse_token(text)
    if name == "features_off":
        return tuple(filter(None, (each.strip() for each in text.split(","))))
    if name == "old_secret_keys":
        return tuple(filter(None, (each.strip() for each in text.split(","))))
    if name == "secret_scanning":
        return _parse_key_list(text)
    if name == "smtp_url" and text:
        read_server(text)
    return _bounded(name, type(default)(text)) if isinstance(default, (int, float)) else text


def describe(name: str) -> str:
    """The sentence of a setting."""
    return str(_meta(name).description)


def _meta(name: str) -> Meta:
    meta: Meta = get_args(get_type_hints(Settings, include_extras=True)[name])[1]
    return meta


def shown(value: Any) -> str:
    """A setting's value as a user would write it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return str(value) if value or value == 0 else "none"


def variable(name: str) -> str:
    """The environment variable of a setting: `allow_private` is MAINSTEM_ALLOW_PRIVATE."""
    return f"MAINSTEM_{name.upper()}"


def flag(name: str) -> str:
    """The flag of a setting: `allow_private` is --allow-private."""
    return f"--{name.replace('_', '-')}"


def read_settings(flags: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """Make Settings from flags (by field name) and the environment.

    Raises SettingsError naming the flag or variable: unknown, malformed, or at odds with another.
    """
    known = {variable(name): name for name in Settings.__struct_fields__}
    values: dict[str, Any] = {}
    for key, text in environment.items():
        if not key.startswith("MAINSTEM_") or key in OF_COMMANDS:
            continue
        if key not in known:
            raise SettingsError(f"{key} is not a setting of mainstem; see `mainstem serve --help`")
        values[known[key]] = _parsed(key, known[key], text)
    for name, text in flags.items():
        values[name] = _parsed(flag(name), name, text)
    settings = Settings(**values)
    _check(settings)
    return settings


def _parsed(shown: str, name: str, text: str) -> Any:
    try:
        return _parse(name, text)
    except ValueError as error:
        raise SettingsError(f"{shown}: {error}") from None


def _check(settings: Settings) -> None:
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise SettingsError("--tls-cert and --tls-key go together")
    if settings.old_secret_keys and not settings.secret_key:
        raise SettingsError("MAINSTEM_OLD_SECRET_KEYS goes with MAINSTEM_SECRET_KEY")
    if bool(settings.smtp_url) != ("@" in settings.mail_from):
        raise SettingsError("MAINSTEM_SMTP_URL and --mail-from NAME@HOST go together")
    if settings.clock_fixed and settings.clock is None:
        raise SettingsError("--clock-fixed goes with --clock")
    if settings.seed and settings.api_workers > 1:
        raise SettingsError("--seed goes with one process of the Public API: --api-workers 1")
    for name in ("tls_cert", "tls_key"):
        path = getattr(settings, name)
        if path and not path.is_file():
            raise SettingsError(f"{flag(name)}: there is no file {path}")
    exposed = [each for each in (settings.api, settings.tracking) if not each.is_loopback]
    if exposed and not settings.tls_cert and not settings.allow_plain_http:
        raise SettingsError(
            f"{exposed[0]} is reachable from other machines: give --tls-cert and --tls-key, "
            "or --allow-plain-http if a proxy in front has TLS"
        )
