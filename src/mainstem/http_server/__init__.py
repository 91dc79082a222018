"""HTTP/1.1 for both APIs: one process, one event loop, whole requests in and answers out.

    messages.py      a request, an answer, and the terms on which a server takes requests
    connections.py   one client: bytes to requests and back
    server.py        listening, TLS, time, stopping

Knows no route: an API hands over its application and its terms. Source: RFC 9112, "HTTP/1.1".
"""

from __future__ import annotations

from mainstem.http_server.messages import Answer, App, Request, Terms
from mainstem.http_server.server import run, serve, tls_context, tune_interpreter

__all__ = ["Answer", "App", "Request", "Terms", "run", "serve", "tls_context", "tune_interpreter"]
