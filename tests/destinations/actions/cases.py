"""Calls to every action of every installed destination, made from its own defaults and presets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from mainstem.destinations.actions import catalogue
from mainstem.destinations.actions.catalogue import Action, Definition, Field
from mainstem.destinations.actions.runner import Call

_ITEM = {"product_id": "p1", "sku": "SKU-1", "name": "Shoe", "price": 19.5, "quantity": 2, "category": "Shoes"}
_CONTEXT = {
    "ip": "203.0.113.9", "userAgent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Chrome/120.0 Safari/537.36",
    "locale": "en-US", "timezone": "Europe/Berlin", "library": {"name": "analytics.js", "version": "2.1.0"},
    "page": {
        "url": "https://shop.example/shoes?utm_source=a", "path": "/shoes", "referrer": "https://search.example/",
        "title": "Shoes", "search": "?utm_source=a",
    },
    "campaign": {"name": "spring", "source": "a", "medium": "b"}, "groupId": "g1",
    "device": {"id": "d1", "advertisingId": "7A3CBEA0-BDF5-11E4-8DFC-AA07A5B093DB", "type": "ios", "model": "iPhone"},
    "os": {"name": "iOS", "version": "17.1"}, "app": {"name": "Shop", "version": "1.2.3", "namespace": "com.shop"},
    "traits": {"email": "ann@example.com", "first_name": "Ann", "last_name": "Lee", "phone": "+14155552671"},
}  # fmt: skip
_TRAITS = {
    "email": "ann@example.com", "firstName": "Ann", "lastName": "Lee", "first_name": "Ann", "last_name": "Lee",
    "name": "Ann Lee", "phone": "+14155552671", "age": 31, "company": {"id": "c1", "name": "Acme"}, "plan": "pro",
    "address": {"city": "Berlin", "country": "DE", "postalCode": "10115", "state": "BE", "street": "A 1"},
    "list_id": "l1",
}  # fmt: skip
_PROPERTIES = {
    "email": "ann@example.com", "phone": "+14155552671", "revenue": 39.0, "total": 39.0, "value": 39.0, "price": 19.5,
    "currency": "USD", "order_id": "o1", "orderId": "o1", "checkout_id": "k1", "query": "shoes", "quantity": 2,
    "product_id": "p1", "sku": "SKU-1", "name": "Shoe", "category": "Shoes", "products": [_ITEM],
    "url": "https://shop.example/shoes", "path": "/shoes", "title": "Shoes", "gclid": "g-1", "list_id": "l1",
    "coupon": "TEN",
    "queryID": "0123456789abcdef0123456789abcdef", "search_index": "products",
}  # fmt: skip
_BASE = {
    "messageId": "ajs-next-1", "anonymousId": "anon-1", "userId": "user-1", "timestamp": "2026-03-10T12:00:00.000Z",
    "receivedAt": "2026-03-10T12:00:01.000Z", "sentAt": "2026-03-10T12:00:00.500Z", "context": _CONTEXT,
    "originalTimestamp": "2026-03-10T12:00:00.000Z", "channel": "client", "integrations": {},
}  # fmt: skip
EVENTS: dict[str, dict[str, Any]] = {
    "track": {**_BASE, "type": "track", "event": "Order Completed", "properties": _PROPERTIES},
    "identify": {**_BASE, "type": "identify", "traits": _TRAITS},
    "page": {**_BASE, "type": "page", "name": "Shoes", "category": "Shop", "properties": _PROPERTIES},
    "screen": {**_BASE, "type": "screen", "name": "Shoes", "properties": _PROPERTIES},
    "group": {**_BASE, "type": "group", "groupId": "g1", "traits": {**_TRAITS, "name": "Acme"}},
    "alias": {**_BASE, "type": "alias", "previousId": "user-0"},
}
_FORMATS = {
    "email": "ann@example.com", "uri": "https://shop.example/hook", "hostname": "shop.example", "date": "2026-03-10",
    "date-time": "2026-03-10T12:00:00.000Z", "uuid": "7a3cbea0-bdf5-41e4-8dfc-aa07a5b093db", "ipv4": "203.0.113.9",
    "uri-reference": "https://shop.example/hook", "time": "12:00:00.000Z",
}  # fmt: skip


class Case(msgspec.Struct, frozen=True):
    """A call and what it is called in the words of the package."""

    label: str
    dir: str
    call: Call


def cases() -> Iterator[Case]:
    """For every action an event by itself, and for those that batch two in one call."""
    for metadata_id in catalogue.known():
        definition = catalogue.find_definition(metadata_id)
        assert definition is not None, metadata_id
        for action in definition.actions.values():
            yield _case(definition, action, is_batch=False)
            if action.can_batch:
                yield _case(definition, action, is_batch=True)


def _case(definition: Definition, action: Action, *, is_batch: bool) -> Case:
    event = EVENTS[_type_of(definition, action)]
    events = [event, {**event, "messageId": "ajs-next-2", "userId": "user-2"}][: 2 if is_batch else 1]
    call = Call(
        metadata_id=definition.id,
        action=action.slug,
        mapping=mapping_of(definition, action),
        settings={each.key: _made_up(each) for each in definition.options},
        events=[msgspec.json.encode(each) for each in events],
        is_batch=is_batch,
        auth={"access_token": "t0k3n-access", "refresh_token": "t0k3n-refresh"} if definition.has_refresh else None,
    )
    return Case(f"{definition.dir}.{action.slug}{' in a batch' if is_batch else ''}", definition.dir, call)


def _type_of(definition: Definition, action: Action) -> str:
    triggers = [
        action.default_trigger,
        *(each.trigger for each in definition.presets if each.action_slug == action.slug),
    ]
    named = [kind for trigger in triggers for kind in re.findall(r'type\s*=\s*"(\w+)"', trigger or "")]
    return next((each for each in named if each in EVENTS), "track")


def mapping_of(definition: Definition, action: Action) -> dict[str, Any]:
    """The defaults, with the action's first preset over them, and a value for what is required beyond."""
    presets = [each.mapping for each in definition.presets if each.action_slug == action.slug]
    mapping = {**action.defaults, **(presets[0] if presets else {})}
    needed = {key: field for key, field in action.fields.items() if field.required or field.required_if}
    made_up = {key: _made_up(field) for key, field in needed.items() if key not in mapping}
    modes = (
        {"__segment_internal_sync_mode": action.default_sync_mode or action.sync_modes[0]}
        if action.sync_modes
        else {}
    )
    return {**mapping, **made_up, **modes}


def _made_up(field: Field) -> Any:
    value = _one(field)
    return [value] if field.multiple and not isinstance(value, list) else value


def _one(field: Field) -> Any:
    if isinstance(field.default, (str, bool, int, float)) and field.default != "":
        return field.default
    if field.choices:
        return field.choices[0]["value"]
    if field.type == "object":
        return {key: _made_up(each) for key, each in field.properties.items() if each.required}
    numbers = {"integer": 7, "number": 7, "boolean": True, "datetime": "2026-03-10T12:00:00.000Z"}
    return numbers.get(field.type, _FORMATS.get(field.format or "", f"made-up-{field.key}"))
