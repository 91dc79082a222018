"""Hide secrets wherever they stand in a text: as they are, and as JSON, URLs, hex and base64 write them, in base64
also within what was encoded."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

HIDDEN: Final = "[hidden]"
SHORTEST: Final = 4  # of what is hidden wherever it stands; shorter ones would hide half of every text
_SHORTEST_ENCODED: Final = 8


class Hiding:
    """Hides these secrets; `forms` are all that is looked for, the longest first."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self.forms: Final = sorted({form for each in secrets for form in _forms(each)}, key=len, reverse=True)

    def of(self, text: str) -> str:
        """The text without the secrets."""
        for form in self.forms:  # one by one: a pattern of all of them takes ten times as long
            if form in text:
                text = text.replace(form, HIDDEN)
        return text


def _forms(secret: str) -> Iterator[str]:
    """How a secret may be written; only itself when it is too short to be told from other text."""
    if len(secret) < SHORTEST:
        return
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield json.dumps(secret)[1:-1].replace("/", "\\/")
    for quoted in (quote(secret), quote(secret, safe=""), quote_plus(secret)):
        yield quoted
        yield re.sub("%[0-9A-F]{2}", lambda code: code.group().lower(), quoted)
    data = secret.encode("utf-8", "surrogatepass")
    if len(data) >= _SHORTEST_ENCODED:
        yield data.hex()
        yield data.hex().upper()
    for shift in range(3):  # where it begins among the groups of three bytes that base64 encodes
        encoded = base64.b64encode(bytes(shift) + data).decode()
        first = -(-shift * 8 // 6)
        last = (shift + len(data)) * 8 // 6  # the next character has bits of what follows
        if last - first >= _SHORTEST_ENCODED - 2:
            yield encoded[first:last]
            yield encoded[first:last].replace("+", "-").replace("/", "_")
