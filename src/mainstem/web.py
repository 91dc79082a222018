"""One HTTP request to a server that the operator named. Redirects are not followed: what is asked, secrets among it,
is for that server and nobody else, and so is the belief in what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class Reply(msgspec.Struct, frozen=True):
    """An answer, whatever its status; names of headers are in small letters."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(
    url: str, headers: Mapping[str, str], body: bytes | None = None, *, timeout_seconds: float, most_bytes: int
) -> Reply:
    """GET `url`, or POST `body` to it. What is over `most_bytes` of the answer is cut off. Raises OSError when there
    is no answer, or none that is HTTP. `url` comes from a setting, whose scheme was checked."""
    import urllib.error  # asked for seldom: most processes never do
    import urllib.request
    from http.client import HTTPException

    class Straight(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any) -> None:
            return None

    request = urllib.request.Request(url, body, dict(headers))  # noqa: S310  # see above
    try:
        try:
            answer: Any = urllib.request.build_opener(Straight).open(request, timeout=timeout_seconds)
        except urllib.error.HTTPError as refusal:
            answer = refusal
        with answer:
            named = {name.lower(): value for name, value in answer.headers.items()}
            return Reply(answer.status, named, answer.read(most_bytes))
    except HTTPException as error:
        raise OSError(f"no answer of HTTP: {type(error).__name__}") from None
