"""Give an event the fields that every event has: ids, times, channel, address.

Source: Tracking API reference, "Common fields", "Timestamps" and "Context"; judgements are marked below.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any, Final

from mainstem.model.event import (
    MAX_PROPERTIES,
    Event,
    Received,
    counted_name,
    counted_version,
    dedupe_key,
)
from mainstem.model.snapshot import SourceConfig
from mainstem.pipeline.step import Item, SourceScope
from mainstem.pipeline.timestamps import read_time, write_time

EVENT_VERSION: Final = 2
_BROWSER_LIBRARIES: Final = ("analytics.js", "analytics-next", "@segment/analytics-next")
_MOBILE_LIBRARIES: Final = (
    "analytics-ios", "analytics-swift", "analytics-android", "analytics-kotlin", "analytics-flutter",
    "analytics-react-native", "@segment/analytics-react-native", "analytics-xamarin", "analytics_flutter",
)  # fmt: skip
_CHANNEL_OF_LIBRARY: Final = {
    **dict.fromkeys(_BROWSER_LIBRARIES, "browser"),
    **dict.fromkeys(_MOBILE_LIBRARIES, "mobile"),
}
_CHANNEL_OF_PLATFORM: Final = {"web": "browser", "mobile": "mobile"}
_read_again: Final = lru_cache(64)(read_time)  # every event of a request has the same sentAt and receivedAt
_write_again: Final = lru_cache(64)(write_time)


def normalize(item: Item, scope: SourceScope) -> Event:
    """Set type, messageId, the times, version, channel and projectId; fill context.ip where it is due; take
    out writeKey and properties beyond the 10,000th. Everything else stays as the client sent it."""
    received = item.received
    source = scope.snapshot.sources[received.source_id]
    payload = item.payload.copy()
    payload.pop("writeKey", None)
    type_ = payload["type"] if received.kind == "batch" else received.kind
    payload["type"] = type_
    message_id = payload["messageId"] = message_id_of(item)
    _set_times(payload, received.received_at_ms)
    payload["version"] = EVENT_VERSION
    payload["channel"] = channel = _channel(payload, source, received)
    payload["projectId"] = received.source_id
    _fill_ip(payload, channel, received.ip)
    _bound_properties(payload)
    return Event(
        received.source_id,
        source.workspace_id,
        type_,
        counted_name(type_, payload),
        counted_version(payload),
        message_id if isinstance(message_id, str) else "",
        dedupe_key(source.workspace_id, str(message_id)),
        _user(payload),
        received.received_at_ms,
        payload,
        item.request,
        item.number,
    )


def message_id_of(item: Item) -> Any:
    """The messageId that the client sent, or the one that the server gives this event each time."""
    message_id = item.payload.get("messageId")
    return _new_message_id(item) if message_id is None or message_id == "" else message_id


def _new_message_id(item: Item) -> str:
    """A UUID made of the place on the log and the time, so that the same event processed again after a crash
    has the same id. Judgement: the reference only says that the server assigns one."""
    place = f"{item.origin}.{item.number}.{item.received.received_at_ms}.{item.received.source_id}"
    text = hashlib.blake2b(place.encode(), digest_size=16).hexdigest()
    return f"{text[:8]}-{text[8:12]}-8{text[13:16]}-{'89ab'[int(text[16], 16) & 3]}{text[17:20]}-{text[20:]}"


def _set_times(payload: dict[str, Any], received_at_ms: int) -> None:
    """timestamp = receivedAt - (sentAt - originalTimestamp), the two client times cancelling its clock.

    | sent by the client          | timestamp                 | originalTimestamp  |
    | timestamp and sentAt        | corrected as above        | the client's       |
    | timestamp alone             | the client's              | the client's       |
    | sentAt alone                | receivedAt                | sentAt             |
    | neither                     | receivedAt                | receivedAt         |
    | a timestamp that is none    | receivedAt                | the client's       |

    A sentAt that is no time counts as not sent. Judgements: all but the first and fourth line; a client that
    sends originalTimestamp without timestamp means the former.
    """
    received_at = _write_again(received_at_ms)
    client_time = payload.get("timestamp")
    if client_time is None:
        client_time = payload.get("originalTimestamp")
    sent_at = payload.get("sentAt")
    sent_at_ms = _read_again(sent_at) if type(sent_at) is str else None
    if client_time is None:
        payload["originalTimestamp"] = received_at if sent_at_ms is None else sent_at
        payload["timestamp"] = received_at
    else:
        payload["originalTimestamp"] = client_time
        time_ms = read_time(client_time)
        if time_ms is not None and sent_at_ms is not None:
            time_ms += received_at_ms - sent_at_ms
        payload["timestamp"] = (None if time_ms is None else write_time(time_ms)) or received_at
    payload["receivedAt"] = received_at


def _channel(payload: dict[str, Any], source: SourceConfig, received: Received) -> str:
    """Judgement: the library knows best what sends, then the kind of source, then the endpoint."""
    context = payload.get("context")
    library = context.get("library") if type(context) is dict else None
    name = library.get("name") if type(library) is dict else None
    known = _CHANNEL_OF_LIBRARY.get(name) if type(name) is str else None
    return known or _CHANNEL_OF_PLATFORM.get(source.platform, received.channel)


def _fill_ip(payload: dict[str, Any], channel: str, peer: str) -> None:
    """The peer's IPv4 address goes to context.ip of client-side events and of those with context.direct; an
    address that is there is never overwritten ("0.0.0.0" is how a client suppresses it)."""
    context = payload.get("context")
    if context is None:
        context = {}
    if not isinstance(context, dict) or context.get("ip") is not None:
        return
    if channel == "server" and context.get("direct") is not True:
        return
    address = peer.removeprefix("::ffff:")
    if address and ":" not in address:
        payload["context"] = {**context, "ip": address}


def _bound_properties(payload: dict[str, Any]) -> None:
    properties = payload.get("properties")
    if isinstance(properties, dict) and len(properties) > MAX_PROPERTIES:
        payload["properties"] = dict(list(properties.items())[:MAX_PROPERTIES])


def _user(payload: dict[str, Any]) -> str:
    user = payload.get("userId")
    if user is None:
        user = payload.get("anonymousId")
    return user if isinstance(user, str) else ""
