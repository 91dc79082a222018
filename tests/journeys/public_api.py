"""What most journeys need of the Public API before and after their events: a source, a webhook, the counts."""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx

Answer = TypeVar("Answer")

COUNTED_SECONDS = 60
PYTHON_SOURCE = "XRksQPCr7X"
SHARED_SECRET = "a secret of the journey"


@dataclass(frozen=True)
class Connection:
    """A source and the webhook that it is connected to."""

    source_id: str
    write_key: str
    destination_id: str


def window() -> dict[str, str]:
    """The last hour and the next minutes, by minutes: any journey lies inside."""
    now = datetime.now(UTC)
    start, end = now - timedelta(hours=1), now + timedelta(minutes=5)
    return {"startTime": start.isoformat(), "endTime": end.isoformat(), "granularity": "MINUTE"}


class PublicApi:
    """The Public API over plain HTTP; every call fails the journey unless it succeeds."""

    def __init__(self, url: str, token: str, verify: ssl.SSLContext | bool = True) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=30, verify=verify)

    def __enter__(self) -> PublicApi:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """GET and return what stands under `data`."""
        return self._data(self._http.get(path, params=parameters))

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST and return what stands under `data`."""
        return self._data(self._http.post(path, json=body))

    def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """PATCH and return what stands under `data`."""
        return self._data(self._http.patch(path, json=body))

    def _data(self, response: httpx.Response) -> dict[str, Any]:
        assert response.is_success, f"{response.request.method} {response.request.url}: {response.text}"
        data: dict[str, Any] = response.json()["data"]
        return data

    def webhooks_id(self) -> str:
        """The Meta id of the classic Webhooks destination, found in the catalogue by its slug."""
        catalog = self.get("/catalog/destinations")["destinationsCatalog"]
        return next(each["id"] for each in catalog if each["slug"] == "webhooks")

    def connect(self, url: str, *, metadata_id: str = PYTHON_SOURCE) -> Connection:
        """Make a source and a signed webhook to `url`, with a header of its own."""
        body = {"slug": f"journey-{secrets.token_hex(6)}", "enabled": True, "metadataId": metadata_id}
        source = self.post("/sources", body)["source"]
        return Connection(source["id"], source["writeKeys"][0], self.add_webhook(source["id"], url))

    def add_webhook(self, source_id: str, url: str) -> str:
        """Connect a source to one more signed webhook and return its id."""
        name = f"journey-{secrets.token_hex(6)}"
        hook = {"hook": url, "headers": [{"key": "X-Journey", "value": name}]}
        body = {
            "sourceId": source_id,
            "metadataId": self.webhooks_id(),
            "name": name,
            "settings": {"hooks": [hook], "sharedSecret": SHARED_SECRET},
        }
        destination: dict[str, Any] = self.post("/destinations", body)["destination"]
        return str(destination["id"])

    def delete(self, path: str) -> None:
        """DELETE."""
        assert self._data(self._http.delete(path)) == {"status": "SUCCESS"}

    def delivery_overview(self, stage: str, connection: Connection, **parameters: str) -> dict[str, Any]:
        """One of the six counts of a connection: `stage` is the last part of its path."""
        query = {**window(), "sourceId": connection.source_id, **parameters}
        if stage in {"filtered-at-destination", "failed-delivery", "successful-delivery"}:
            query["destinationConfigId"] = connection.destination_id
        return self.get(f"/delivery-overview/{stage}", query)

    def wait_for_count(self, stage: str, connection: Connection, count: int, **parameters: str) -> dict[str, Any]:
        """Ask until a stage has counted `count` events, and return that answer; more of them is a failure."""
        answer = eventually(
            lambda: self.delivery_overview(stage, connection, **parameters),
            lambda each: each["total"] >= count,
        )
        assert answer["total"] == count, answer
        return answer


def eventually(ask: Callable[[], Answer], met: Callable[[Answer], bool]) -> Answer:
    """Ask again and again until the answer meets the condition; fail with the last answer when it takes too long."""
    deadline = time.monotonic() + COUNTED_SECONDS
    while not met(answer := ask()):
        assert time.monotonic() < deadline, f"not so after {COUNTED_SECONDS} s: {answer}"
        time.sleep(0.1)
    return answer
