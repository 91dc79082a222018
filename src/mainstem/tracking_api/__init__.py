"""The Tracking API: HTTP in, one record on the event log, answered once it is on disk.

    routes.py        which path does what; start here
    requests.py      a request, and how much is taken of clients
    app.py           one request from its route to its answer
    events.py        event and batch calls     pixel.py   the same by image     cdn_settings.py   what browsers load
    source_functions.py   calls of source functions          live_plugins.py   what mobile applications load
    intake.py        from write key to event log
    authentication.py, bodies.py, envelopes.py, peers.py, browser.py   one question about a request each

Whether an event is valid is the pipeline's question: here only what decides between 200 and 4xx is asked.
Source: Tracking API reference, "HTTP Tracking API".
"""

from __future__ import annotations

from mainstem.tracking_api.app import TrackingApi, build
from mainstem.tracking_api.requests import TERMS

__all__ = ["TERMS", "TrackingApi", "build"]
