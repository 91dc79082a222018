"""Take secrets out of what was exchanged with a partner, before it is kept.

What counts as secret is a judgement: settings that their catalogue entry calls a password, or whose name says so,
and values of headers and credentials in URLs that an operator set; and, whoever set them, headers and parameters of
URLs whose name says so.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from mainstem.destinations.actions import catalogue
from mainstem.destinations.base import Exchange
from mainstem.destinations.hiding import HIDDEN, SHORTEST, Hiding
from mainstem.model.snapshot import DestinationConfig
from mainstem.model.trace import Exchanged

MAX_BODY_CHARACTERS: Final = 4 * 1024
MAX_URL_CHARACTERS: Final = 2 * 1024
MAX_HEADERS: Final = 50
MAX_HEADER_CHARACTERS: Final = 512
_MAY_BE_CUT_BYTES: Final = 4_000  # connectors cut bodies at 4 KB

_NAMED: Final = re.compile(
    r"secret|passw|token|auth|api.?key|access.?key|private|credential|licen[cs]e.?key|write.?key|signing|cookie|session",
    re.IGNORECASE,
)
_KEYS: Final = frozenset({"key", "sig", "signature", "code"})
_PARAMETER: Final = re.compile(r"([?&;])([^=&#;\s]+)=([^&#\s]*)")
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/@\s?#]+@")


class Redactor:
    """Takes out `secrets`, and what stands under a telling name. Texts that come again and again are remembered."""

    def __init__(self, secrets: Collection[str]) -> None:
        self.secrets: Final = frozenset(each for each in secrets if each)
        self._hiding = Hiding(self.secrets)
        self._short = functools.lru_cache(256)(self._of_short)

    def of(self, exchange: Exchange) -> Exchanged:
        """The exchange without secrets, and of bounded size."""
        return Exchanged(
            exchange.method[:32],
            self.url(exchange.url),
            self._headers(exchange.request_headers),
            self.text(exchange.request_body),
            exchange.status,
            self._headers(exchange.response_headers),
            self.text(exchange.response_body),
        )

    def url(self, url: str) -> str:
        """A URL without credentials, telling parameters and secrets."""
        return self._short("", url)

    def text(self, text: str) -> str:
        """A body without secrets; also without the beginning of one where it was cut."""
        cleaned = self._hiding.of(text)
        if len(text.encode(errors="replace")) >= _MAY_BE_CUT_BYTES:
            cleaned = self._without_torn(cleaned.rstrip("\N{REPLACEMENT CHARACTER}"))
        return cleaned[:MAX_BODY_CHARACTERS]

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        first = list(headers.items())[:MAX_HEADERS]
        return {name[:MAX_HEADER_CHARACTERS]: self._short(name, value) for name, value in first}

    def _of_short(self, name: str, value: str) -> str:
        """The value of a header, or a URL, which has no name."""
        if _NAMED.search(name) or value in self.secrets:
            return HIDDEN
        cleaned = _CREDENTIALS.sub(f"{HIDDEN}@", _PARAMETER.sub(_without_value, value))
        return self._hiding.of(cleaned)[: MAX_HEADER_CHARACTERS if name else MAX_URL_CHARACTERS]

    def _without_torn(self, text: str) -> str:
        for form in self._hiding.forms:
            for length in range(min(len(form) - 1, len(text)), SHORTEST - 1, -1):
                if text.endswith(form[:length]):
                    return text[:-length] + HIDDEN
        return text


def secrets_of(config: DestinationConfig) -> frozenset[str]:
    """The secrets among the settings of a destination, and of the functions that are at work there."""
    definition = catalogue.find_definition(config.metadata_id)
    options = definition.options if definition is not None else ()
    passwords = frozenset(each.key for each in options if each.type == "password")
    found = set(_secret_texts(config.settings, passwords, is_secret=False))
    for use in (config.insert, config.function):
        if use is not None:
            found.update(_secret_texts(use.settings, use.sensitive, is_secret=False))
    return frozenset(found)


def _secret_texts(value: Any, passwords: Collection[str], *, is_secret: bool) -> Iterator[str]:
    if isinstance(value, str):
        if is_secret:
            yield value
        for found in _CREDENTIALS.findall(value):
            yield from _of_credentials(found[:-1])
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            name = str(key)
            told = name in passwords or name.lower() == "headers" or bool(_NAMED.search(name))
            # A header as the app saves it, {"key": …, "value": …}: its name is no secret.
            is_name = is_secret and name == "key" and "value" in value
            yield from _secret_texts(inner, passwords, is_secret=(is_secret or told) and not is_name)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _secret_texts(inner, passwords, is_secret=is_secret)


def _of_credentials(text: str) -> Iterator[str]:
    """USER:PASSWORD of a URL, as a whole and the password, as written and as meant."""
    password = text.partition(":")[2] or text
    yield from {text, password, unquote(text), unquote(password)}


def _without_value(found: re.Match[str]) -> str:
    before, name, value = found.groups()
    return f"{before}{name}={HIDDEN if _NAMED.search(name) or name.lower() in _KEYS else value}"
