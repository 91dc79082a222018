"""The browsable reference: the contract that is really served, and a page on which calls can be tried.

Everything the page needs lies beside this file; it loads nothing from elsewhere.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from mainstem import contract
from mainstem.rest.dispatch import Answer, Request
from mainstem.rest.media import JSON

_ASSETS: Final = {
    "/docs": ("index.html", "text/html; charset=utf-8"),
    "/docs/reference.css": ("reference.css", "text/css; charset=utf-8"),
    "/docs/reference.js": ("reference.js", "text/javascript; charset=utf-8"),
}
_SAFE: Final = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
}


def page(request: Request) -> Answer | None:
    """The answer to a GET of the document, the page or its assets; None for every other request."""
    if request.method not in {"GET", "HEAD"}:
        return None
    path = request.path.rstrip("/")
    if path == "/openapi.json":
        return Answer(200, _SAFE | {"Content-Type": JSON}, document())
    if path not in _ASSETS:
        return None
    name, media_type = _ASSETS[path]
    body = files(__package__).joinpath("reference_page", name).read_bytes()
    return Answer(200, _SAFE | {"Content-Type": media_type}, body)


def document() -> bytes:
    """OpenAPI of every operation that this mainstem serves."""
    from mainstem.public_api import FAMILIES  # families import nothing from here; the package imports them all

    return contract.document([operation.id for family in FAMILIES for operation in family.operations])
