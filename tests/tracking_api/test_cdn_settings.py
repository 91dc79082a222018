"""The settings that libraries load before they send."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mainstem.model.snapshot import SourceConfig
from serving import make_certificate
from tracking_api.serving import SECOND_KEY, SOURCE_ID, UNKNOWN_KEY, WRITE_KEY, Served, eventually, source


@pytest.mark.parametrize("path", ["/v1/projects/{}/settings", "/projects/{}/settings"])
@pytest.mark.parametrize("write_key", [WRITE_KEY, SECOND_KEY])
def test_the_settings_tell_the_library_its_key_and_where_to_send(served: Served, path: str, write_key: str) -> None:
    answer = served.client.get(path.format(write_key))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    segment_io = answer.json()["integrations"]["Segment.io"]
    assert segment_io["apiKey"] == write_key
    assert segment_io["apiHost"] == f"{served.host}/v1"
    assert segment_io["protocol"] == "http"
    assert segment_io["addBundledMetadata"] is True


def test_the_settings_have_every_part_that_libraries_read(served: Served) -> None:
    document = served.client.get(f"/v1/projects/{WRITE_KEY}/settings").json()
    assert document["metrics"] == {"sampleRate": 0}
    assert document["remotePlugins"] == []
    assert document["legacyVideoPluginsEnabled"] is False
    for part in ("plan", "edgeFunction", "middlewareSettings", "enabledMiddleware"):
        assert isinstance(document[part], dict)


def test_the_host_is_the_one_that_was_asked(served: Served) -> None:
    answer = served.client.get(f"/v1/projects/{WRITE_KEY}/settings", headers={"Host": "events.shop.example:8443"})
    assert answer.json()["integrations"]["Segment.io"]["apiHost"] == "events.shop.example:8443/v1"


def test_of_an_endless_host_no_more_is_echoed_than_a_name_can_have(served: Served) -> None:
    answer = served.client.get(f"/v1/projects/{WRITE_KEY}/settings", headers={"Host": "h" * 10_000})
    assert len(answer.content) < 1_000


@pytest.mark.parametrize(
    ("public_url", "protocol", "host"),
    [
        ("https://t.shop.example", "https", "t.shop.example/v1"),
        ("http://t.shop.example:8090/", "http", "t.shop.example:8090/v1"),
        ("https://shop.example/events/", "https", "shop.example/events/v1"),
        ("t.shop.example", "https", "t.shop.example/v1"),
    ],
)
def test_a_public_url_stands_for_the_host(
    serve: Callable[..., Served], public_url: str, protocol: str, host: str
) -> None:
    answer = serve(public_tracking_url=public_url).client.get(f"/v1/projects/{WRITE_KEY}/settings")
    segment_io = answer.json()["integrations"]["Segment.io"]
    assert (segment_io["protocol"], segment_io["apiHost"]) == (protocol, host)


def test_any_website_may_load_them_and_keep_them_if_it_asks_each_time(served: Served) -> None:
    answer = served.client.get(f"/v1/projects/{WRITE_KEY}/settings", headers={"Origin": "https://shop.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "public, max-age=0, must-revalidate"


def test_who_has_them_is_told_so_without_a_body_until_something_changes(serve: Callable[..., Served]) -> None:
    served, path = serve(), f"/v1/projects/{WRITE_KEY}/settings"
    first = served.client.get(path)
    same = served.client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", first.headers["etag"])
    assert same.headers["access-control-allow-origin"] == "*"
    assert "content-length" not in same.headers
    served.snapshots.publish(
        SourceConfig(
            SOURCE_ID, "w", "s", "s", "m", "web", True, (WRITE_KEY,), {"deliveryStrategy": {"strategy": "b"}}
        )
    )
    changed = eventually(
        lambda: served.client.get(path, headers={"If-None-Match": first.headers["etag"]}),
        lambda answer: answer.status_code == 200,
    )
    assert changed.json()["integrations"]["Segment.io"]["deliveryStrategy"] == {"strategy": "b"}


def test_each_host_is_told_its_own_address(served: Served) -> None:
    path = f"/v1/projects/{WRITE_KEY}/settings"
    answers = [served.client.get(path, headers={"Host": host}) for host in ("a.example", "b.example", "a.example")]
    assert answers[0].headers["etag"] == answers[2].headers["etag"] != answers[1].headers["etag"]
    assert answers[1].json()["integrations"]["Segment.io"]["apiHost"] == "b.example/v1"


def test_of_many_hosts_only_the_newest_are_remembered(serve: Callable[..., Served]) -> None:
    served = serve()
    for number in range(200):
        host = f"h{number}.example"
        answer = served.client.get(f"/v1/projects/{WRITE_KEY}/settings", headers={"Host": host})
        assert answer.json()["integrations"]["Segment.io"]["apiHost"] == f"{host}/v1"


@pytest.mark.parametrize("write_key", [UNKNOWN_KEY, "short", "%00", "é"])
def test_an_unknown_key_is_a_line_of_text(served: Served, write_key: str) -> None:
    answer = served.client.get(f"/v1/projects/{write_key}/settings")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["cache-control"] == "no-store"
    assert 0 < len(answer.text) < 100


def test_a_key_made_a_moment_ago_has_settings(serve: Callable[..., Served]) -> None:
    served = serve()
    assert served.client.get(f"/v1/projects/{UNKNOWN_KEY}/settings").status_code == 404
    served.snapshots.publish(source("another", UNKNOWN_KEY))
    assert served.client.get(f"/v1/projects/{UNKNOWN_KEY}/settings").status_code == 200


def test_settings_are_unavailable_rather_than_unknown_while_the_configuration_cannot_be_read(
    serve: Callable[..., Served],
) -> None:
    served = serve()
    served.snapshots.is_broken = True
    assert served.client.get(f"/v1/projects/{WRITE_KEY}/settings").status_code == 503


def test_over_tls_everything_works_and_the_library_is_told_https(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    served = serve(certificate=make_certificate(tmp_path))
    settings = served.client.get(f"/v1/projects/{WRITE_KEY}/settings").json()
    assert settings["integrations"]["Segment.io"]["protocol"] == "https"
    assert served.post("/v1/track", {"userId": "u", "event": "E", "x": "x" * 30_000}).status_code == 200
    assert served.post("/v1/track", b"{").status_code == 400
    assert len(served.received()) == 1
    answer = served.client.get("/health", headers={"Connection": "close"})
    assert answer.headers["connection"] == "close"
