"""Stands in for every partner: an HTTP server on loopback, in the loop of the test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web


class Request(msgspec.Struct, frozen=True):
    """What arrived. `url` is where the destination wanted it to go; headers are lower-case, in order of names."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


Reply = Callable[[Request], web.StreamResponse]


class Partner:
    """Keeps what arrives, and answers 200 {"ok": true} or as `reply` says. While `is_open` is clear, nothing is
    answered."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.reply: Reply = lambda _: web.json_response({"ok": True})
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.arrived = asyncio.Event()
        self._runner = web.AppRunner(
            web.Application(client_max_size=64 * 1024 * 1024), access_log=None, shutdown_timeout=0.1
        )
        self._runner.app.router.add_route("*", "/{path:.*}", self._take)
        self.url = ""

    async def __aenter__(self) -> Partner:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: Any) -> None:
        self.is_open.set()
        await self._runner.cleanup()

    def taken(self) -> list[Request]:
        """What has arrived since the last time."""
        found, self.requests = self.requests, []
        return found

    async def _take(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in sorted(request.headers.items())}
        url = headers.pop("mainstem-original-url", str(request.url))
        taken = Request(request.method, url, headers, await request.read())
        self.requests.append(taken)
        self.arrived.set()
        await self.is_open.wait()
        return self.reply(taken)
