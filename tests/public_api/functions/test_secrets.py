"""What was given to a function as a secret is found nowhere: in no reply, no audit row, no file."""

from __future__ import annotations

from pathlib import Path

import databases
from public_api.client import Api
from public_api.connections import new_source, new_webhook
from public_api.functions.making import (
    SECRET,
    new_function,
    new_instance,
    post_destination,
    post_instance,
    post_source,
    setting,
)

CODE = f"const key = '{SECRET}'; async function onTrack(event) {{ return event }}"
DEFINITIONS = [setting("secret", sensitive=True), setting("list", type="ARRAY", sensitive=True)]
VALUES = {"secret": SECRET, "list": [SECRET]}


def test_planted_secrets_are_found_nowhere(api: Api, tmp_path: Path) -> None:
    source_id = new_source(api)
    as_destination = new_function(api, settings=DEFINITIONS)
    as_source = new_function(api, "SOURCE", settings=DEFINITIONS)
    inserted = new_function(api, "INSERT_DESTINATION", settings=DEFINITIONS)
    destination = post_destination(api, source_id, as_destination, settings=VALUES)
    source = post_source(api, as_source, settings=VALUES)
    instance = new_instance(api, inserted, new_webhook(api, source_id), settings=VALUES)
    path = f"/insert-function-instances/{instance['id']}"
    replies = [
        destination,
        source,
        api.patch(path, {"settings": {"secret": f"{SECRET}2"}}),
        api.patch(path, {"settings": {"unknown": SECRET, "list": SECRET}}),
        post_instance(api, inserted, "none", settings=VALUES),
        api.get(path),
        api.get("/destinations"),
        api.get("/sources"),
        api.get(f"/functions/{inserted['id']}"),
        api.get("/audit-events"),
    ]
    assert [reply.status for reply in replies] == [200, 201, 200, 422, 422, 200, 200, 200, 200, 200]
    assert not [reply for reply in replies if SECRET in str(reply.body)]
    api.patch(f"/functions/{as_destination['id']}", {"code": CODE})
    assert SECRET.encode() not in databases.stored(tmp_path)
