"""The code of live plugins, as mobile applications fetch it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from mainstem.model.snapshot import LivePluginConfig
from tracking_api.serving import SOURCE_ID, WRITE_KEY, Served, eventually, source

CODE = "// Straße\n" + "analytics.add(plugin);\n" * 100
PATH = f"/live-plugins/{SOURCE_ID}.js"


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve()


def publish(served: Served, version: int, code: str) -> None:
    plugin = LivePluginConfig(version, code)
    served.snapshots.publish(structs.replace(source(SOURCE_ID, WRITE_KEY), live_plugin=plugin))
    served.refreshed()


def told(served: Served) -> Any:
    """What the settings of the source say of its plugin."""
    return served.client.get(f"/v1/projects/{WRITE_KEY}/settings").json()["edgeFunction"]


def test_the_settings_lead_a_device_to_the_code_and_nobody_asks_who_it_is(served: Served) -> None:
    publish(served, 3, CODE)
    assert told(served) == {"version": 3, "downloadURL": f"http://{served.host}{PATH}"}
    answer = served.client.get(told(served)["downloadURL"])
    assert (answer.status_code, answer.text) == (200, CODE)
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-encoding"] == "gzip"


def test_a_copy_is_used_only_as_long_as_it_is_the_latest(served: Served) -> None:
    publish(served, 1, CODE)
    first = served.client.get(PATH)
    tag = {"If-None-Match": first.headers["etag"]}
    assert served.client.get(PATH, headers=tag).status_code == 304
    publish(served, 2, "// other")
    newer = eventually(lambda: served.client.get(PATH, headers=tag), lambda answer: answer.status_code == 200)
    assert newer.text == "// other"


def test_code_that_was_deleted_is_gone_and_devices_are_told_to_forget_it(served: Served) -> None:
    publish(served, 1, CODE)
    publish(served, 2, "")
    assert told(served) == {"version": 2, "downloadURL": ""}
    assert served.client.get(PATH).status_code == 404


@pytest.mark.parametrize("path", [PATH, "/live-plugins/nowhere.js"])
def test_a_source_without_a_plugin_has_no_code(served: Served, path: str) -> None:
    assert told(served) == {}
    assert served.client.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/live-plugins/", "/live-plugins/a/b.js", f"/live-plugins/{SOURCE_ID}"])
def test_other_paths_lead_nowhere(served: Served, path: str) -> None:
    assert served.client.get(path).status_code == 404


def test_code_is_fetched_and_never_posted(served: Served) -> None:
    assert served.post(PATH).status_code == 405


def test_the_code_lies_where_the_public_url_says(serve: Callable[..., Served]) -> None:
    served = serve(public_tracking_url="https://shop.example/events/")
    publish(served, 1, CODE)
    assert told(served)["downloadURL"] == f"https://shop.example/events{PATH}"
