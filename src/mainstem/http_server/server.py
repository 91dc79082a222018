"""Listens, and looks after the connections."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import gc
import ssl
import sys
import threading
from pathlib import Path
from typing import Final

from mainstem.http_server.connections import Clock, Connection
from mainstem.http_server.messages import App, Terms
from mainstem.settings import Address

BACKLOG: Final = 1024
QUIET_SECONDS: Final = 75.0  # longer than the proxies that keep connections to us
REQUEST_SECONDS: Final = 60.0
STOP_SECONDS: Final = 5.0
_TICK_SECONDS: Final = 1.0


def tune_interpreter() -> None:
    """Set up a process that does nothing but serve; call it once all is loaded."""
    gc.freeze()  # what is loaded by now stays for ever: collections need not look at it again
    # A thread that writes needs the interpreter three times a transaction and would wait 5 ms each time.
    sys.setswitchinterval(0.001)


def tls_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or newer with this certificate chain and private key (PEM). Raises OSError or ssl.SSLError."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    return context


def run(
    app: App,
    terms: Terms,
    address: Address,
    stop: threading.Event,
    *,
    tls: ssl.SSLContext | None = None,
    shares_address: bool = False,
) -> None:
    """The life of a process that serves, until `stop` is set. See serve."""
    import uvloop  # only processes that serve need it

    async def until_stopped() -> None:
        stopped, loop = asyncio.Event(), asyncio.get_running_loop()

        def pass_on() -> None:
            stop.wait()
            with contextlib.suppress(RuntimeError):  # the event loop ended by itself
                loop.call_soon_threadsafe(stopped.set)

        threading.Thread(target=pass_on, daemon=True).start()
        await serve(app, terms, address, stopped, tls=tls, shares_address=shares_address)

    uvloop.run(until_stopped())


async def serve(
    app: App,
    terms: Terms,
    address: Address,
    stop: asyncio.Event,
    *,
    tls: ssl.SSLContext | None = None,
    shares_address: bool = False,
) -> None:
    """Answer requests until `stop` is set; then finish those that came and return, within 5 seconds.

    With `shares_address` other processes listen on the same address, and the system deals connections out among
    them. Raises OSError when the address cannot be listened on.
    """
    loop, clock = asyncio.get_running_loop(), Clock()
    scheme = "https" if tls else "http"
    _tick(clock)
    listening = await loop.create_server(
        lambda: Connection(app, terms, clock, scheme),
        address.host,
        address.port,
        ssl=tls,
        backlog=BACKLOG,
        reuse_port=shares_address or None,
    )
    ticking = loop.create_task(_keep_time(clock))
    await stop.wait()
    listening.close()
    clock.is_stopping = True
    for each in tuple(clock.connections):
        each.stop()
    if clock.connections:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(clock.all_gone.wait(), STOP_SECONDS)
    ticking.cancel()


async def _keep_time(clock: Clock) -> None:
    while True:
        await asyncio.sleep(_TICK_SECONDS)
        _tick(clock)
        for each in tuple(clock.connections):
            each.abort_if_silent(QUIET_SECONDS, REQUEST_SECONDS)


def _tick(clock: Clock) -> None:
    clock.now = asyncio.get_running_loop().time()
    clock.date = email.utils.formatdate(usegmt=True).encode() + b"\r\n\r\n"
