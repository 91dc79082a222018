"""HTTP in front of the operations: a bare ASGI app, since the contract leaves a framework nothing to do.

Never sends a CORS header: the API is for servers. Source: Public API reference, "CORS".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from mainstem.public_api import reference
from mainstem.rest.dispatch import Answer, Dispatcher, Request

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Page = Callable[[Request], Answer | None]

THREADS: Final = 8
READ_PAST_BYTES: Final = 64 * 1024 * 1024  # of a body that is too large, for clients that send all before they read


class ClientLeft(Exception):
    """The connection ended before the request was whole, so nobody knows what was meant."""


class PublicApi:
    """The ASGI app. Operations run in threads, since they wait for the disk; what writes in threads of its own, since
    writers wait for each other and nobody who reads should wait with them."""

    def __init__(
        self, dispatcher: Dispatcher, *, max_request_bytes: int, pages: Sequence[Page] = (reference.page,)
    ) -> None:
        """`pages` are asked first, in order: what stands beside the API on the same server."""
        self._dispatcher, self._max_request_bytes, self._pages = dispatcher, max_request_bytes, pages
        self._reading = ThreadPoolExecutor(THREADS, thread_name_prefix="reading")
        self._writing = ThreadPoolExecutor(THREADS, thread_name_prefix="writing")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        assert scope["type"] == "http"
        try:
            request = await self._request(scope, receive)
        except ClientLeft:
            return
        loop = asyncio.get_running_loop()
        threads = self._reading if request.method in ("GET", "HEAD") else self._writing
        answer = await loop.run_in_executor(threads, self._serve, request)
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in answer.headers.items()]
        headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else answer.body})

    def _serve(self, request: Request) -> Answer:
        for page in self._pages:
            answer = page(request)
            if answer is not None:
                return answer
        return self._dispatcher.serve(request)

    async def _request(self, scope: Scope, receive: Receive) -> Request:
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        return Request(
            method=scope["method"],
            path=raw.partition(b"?")[0].decode("latin-1"),
            query=scope["query_string"].decode("latin-1"),
            headers=headers,
            body=await self._body(headers, receive),
        )

    async def _body(self, headers: list[tuple[str, str]], receive: Receive) -> bytes | None:
        """The body, None when it is over the limit; what is over it is read past, never kept. Raises ClientLeft
        when it is cut short: a part of it may look like a whole."""
        declared = next(
            (int(value) for name, value in headers if name == "content-length" and value.isdecimal()), None
        )
        if declared is not None and declared > self._max_request_bytes:
            return None
        body, size, more = bytearray(), 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            part: bytes = message.get("body", b"")
            size += len(part)
            if size <= self._max_request_bytes:
                body += part
            more = message.get("more_body", False) and size <= self._max_request_bytes + READ_PAST_BYTES
        if declared is not None and size < declared:
            raise ClientLeft
        return bytes(body) if size <= self._max_request_bytes else None
