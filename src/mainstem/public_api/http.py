"""HTTP in front of the operations: where each one runs, and what an answer looks like on the wire.

Never sends a CORS header: the API is for servers. Source: Public API reference, "CORS".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from mainstem import http_server
from mainstem.http_server import Terms
from mainstem.public_api import reference
from mainstem.rest.dispatch import Answer, Dispatcher, Request
from mainstem.rest.operation import Operation

Page = Callable[[Request], Answer | None]

THREADS: Final = 8
WRITERS: Final = 2  # one waits for the disk while the other is let in and read; more only fight for the interpreter
READ_PAST_BYTES: Final = 64 * 1024 * 1024  # of a body that is too large, for clients that send all before they read


class PublicApi:
    """The application. Reads of a local database run on the event loop itself: they wait for nobody, and handing a
    read of a millisecond to a thread costs as much again, since every statement lets go of the interpreter. Writes
    have threads of their own, since they wait for the disk and for each other; so has what is slow. No thread that
    others need waits for either.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        *,
        max_request_bytes: int,
        is_database_local: bool,
        pages: Sequence[Page] = (reference.page,),
    ) -> None:
        """`pages` are what stands beside the API on the same server, asked in order. A database is local when it is
        a file of this machine."""
        self.terms = Terms(
            max_body_bytes=max_request_bytes, max_ignored_bytes=READ_PAST_BYTES, max_waiting_requests=1
        )
        self._dispatcher, self._pages = dispatcher, pages
        self._slow = ThreadPoolExecutor(THREADS, thread_name_prefix="slow")
        self._writing = ThreadPoolExecutor(WRITERS if is_database_local else THREADS, thread_name_prefix="writing")
        self._reading = None if is_database_local else ThreadPoolExecutor(THREADS, thread_name_prefix="reading")

    async def __call__(self, received: http_server.Request) -> http_server.Answer:
        """Answer one request."""
        body = None if received.is_too_long else received.body
        request = Request(received.method, received.path, received.query, received.headers, body)
        operation = self._dispatcher.find(request)
        if operation is None:  # what a page does is not known here; it may wait for another host
            answer = await self._in(self._slow, self._page_or_refusal, request)
        elif (threads := self._threads_for(operation)) is None:
            answer = self._dispatcher.serve(request)
        else:
            answer = await self._in(threads, self._dispatcher.serve, request)
        headers = tuple((name.lower(), value) for name, value in answer.headers.items())
        return http_server.Answer(answer.status, answer.body, headers)

    def _threads_for(self, operation: Operation) -> ThreadPoolExecutor | None:
        """Where an operation runs; None is the event loop."""
        if operation.is_slow:
            return self._slow
        return self._writing if operation.writes else self._reading

    @staticmethod
    async def _in(threads: ThreadPoolExecutor, serve: Callable[[Request], Answer], request: Request) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(threads, serve, request)

    def _page_or_refusal(self, request: Request) -> Answer:
        for page in self._pages:
            answer = page(request)
            if answer is not None:
                return answer
        return self._dispatcher.serve(request)
