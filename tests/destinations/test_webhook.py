"""The Webhooks destination: golden requests, settings as they are found, several hooks."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from delivery.delivering import LOOPBACK, Partner, webhook
from mainstem.destinations import CONNECTORS
from mainstem.destinations.base import Message, Rejected, Retryable
from mainstem.destinations.network import open_session

WEBHOOKS = CONNECTORS["54521fdc25e721e32a72ef04"]
TRACK = {
    "type": "track",
    "userId": "019mr8mf4r",
    "event": "Purchased an Item",
    "properties": {"revenue": "39.95", "shippingMethod": "2-day", "quantity": 1.0},
    "timestamp": "2012-12-02T00:30:08.276Z",
}


@pytest.fixture
async def partner() -> AsyncIterator[Partner]:
    async with Partner() as partner:
        yield partner


async def send(settings: dict[str, Any], event: dict[str, Any] = TRACK, progress: int = 0) -> None:
    """Send one event with these settings, as the worker does."""
    async with open_session(LOOPBACK) as http:
        await WEBHOOKS.connect(settings)(Message(json.dumps(event).encode(), progress, 0), http)


async def test_an_event_is_one_post_of_the_whole_event_with_version_1(partner: Partner) -> None:
    await send(webhook(f"{partner.url}/x?a=b"))
    [arrival] = partner.arrivals
    assert json.loads(arrival.body) == {"version": 1, **TRACK}
    assert arrival.body.startswith(b'{"version":1,"type":"track",')
    headers = {name.lower(): value for name, value in arrival.headers.items()}
    assert headers.pop("host") == partner.url.removeprefix("http://")
    assert headers.pop("content-length") == str(len(arrival.body))
    assert headers.pop("accept") == "*/*"
    assert headers == {"user-agent": "Segment.io/1.0", "content-type": "application/json"}


async def test_a_version_that_a_client_sent_is_replaced(partner: Partner) -> None:
    await send(webhook(partner.url), {"type": "page", "version": "9"})
    assert json.loads(partner.arrivals[0].body) == {"version": 1, "type": "page"}


async def test_the_signature_is_the_hmac_of_the_body_as_javascript_prints_it(partner: Partner) -> None:
    await send(webhook(partner.url, sharedSecret="sécret"))
    [arrival] = partner.arrivals
    assert (
        arrival.body
        == json.dumps(
            {"version": 1, **TRACK, "properties": {**TRACK["properties"], "quantity": 1}},
            separators=(",", ":"),
            ensure_ascii=False,
        ).encode()
    )
    digest = hmac.new("sécret".encode(), arrival.body, hashlib.sha1).hexdigest()
    assert arrival.headers["X-Signature"] == digest


async def test_without_a_secret_nothing_is_signed_and_digits_are_kept(partner: Partner) -> None:
    await send(webhook(partner.url, sharedSecret=""), {"type": "track", "properties": {"id": 9007199254740993}})
    [arrival] = partner.arrivals
    assert "X-Signature" not in arrival.headers
    assert b"9007199254740993" in arrival.body


async def test_headers_of_a_hook_win_over_ours_but_not_over_the_signature(partner: Partner) -> None:
    headers = [
        {"key": "Authorization", "value": "Basic YTpi"},
        {"key": "user-agent", "value": "own"},
        {"key": "x-signature", "value": "forged"},
        {"key": "", "value": ""},
    ]
    await send({"hooks": [{"hook": partner.url, "headers": headers}], "sharedSecret": "s"})
    [arrival] = partner.arrivals
    sent = {name.lower(): value for name, value in arrival.headers.items()}
    assert sent["authorization"] == "Basic YTpi"
    assert sent["user-agent"] == "own"
    assert sent["x-signature"] == hmac.new(b"s", arrival.body, hashlib.sha1).hexdigest()
    assert len(sent) == len(arrival.headers)


async def test_an_authorization_header_stands_above_credentials_in_the_url(partner: Partner) -> None:
    url = partner.url.replace("http://", "http://user:word@")
    await send({"hooks": [{"hook": url, "headers": {"authorization": "Bearer t"}}]})
    await send({"hooks": [{"hook": url}]})
    assert [each.headers.get("Authorization") or each.headers["authorization"] for each in partner.arrivals] == [
        "Bearer t",
        "Basic dXNlcjp3b3Jk",
    ]


@pytest.mark.parametrize(
    ("settings", "paths"),
    [
        ({"globalHook": "/a"}, ["/a"]),
        ({"globalHook": "/a", "hooks": [{"hook": "/a", "headers": [{"key": "", "value": ""}]}]}, ["/a"]),
        ({"globalHook": "/a", "hooks": [{"hook": "/b", "headers": None}]}, ["/a", "/b"]),
        ({"globalHook": "", "hooks": [{"hook": ""}, {"hook": " /b "}, {"hook": None}, {}]}, ["/b"]),
        ({"hooks": ["/a", "/b", "/a"], "sharedSecret": None}, ["/a", "/b"]),
        ({"hooks": [{"hook": f"/{n}"} for n in range(7)]}, ["/0", "/1", "/2", "/3", "/4"]),
    ],
)
async def test_settings_are_read_as_they_are_found(
    partner: Partner, settings: dict[str, Any], paths: list[str]
) -> None:
    text = json.dumps(settings).replace('"/', f'"{partner.url}/').replace('" /', f'" {partner.url}/')
    await send(json.loads(text))
    assert sorted(each.path for each in partner.arrivals) == paths


async def test_of_two_rows_with_one_url_the_one_with_headers_counts(partner: Partner) -> None:
    headers = [{}, {"A": "1"}, {"A": "2"}]
    await send({"hooks": [{"hook": partner.url, "headers": each} for each in headers]})
    assert [each.headers["A"] for each in partner.arrivals] == ["1"]


UNUSABLE = [
    {},
    {"hooks": []},
    {"hooks": None, "globalHook": ""},
    {"hooks": [{"hook": ""}]},
    {"hooks": "https://a.example"},
    {"hooks": [{"hook": "ftp://a.example/"}]},
    {"hooks": [{"hook": "a.example/x"}]},
    {"hooks": [{"hook": "http://"}]},
    {"hooks": [{"hook": "http://a.example:99999/"}]},
    {"hooks": [{"hook": "http://[::1/"}]},
    {"hooks": [{"hook": "http://a.example/\r\nX: y"}]},
    {"globalHook": "javascript:alert(1)"},
    *(
        {"hooks": [{"hook": "https://a.example/", "headers": [{"key": name, "value": value}]}]}
        for name, value in [
            ("Host", "b.example"), ("content-length", "3"), ("Transfer-Encoding", "chunked"), ("Connection", "close"),
            ("A:B", "x"), ("A B", "x"), ("A", "x\r\nB: y"), ("A\nB", "x"), ("A", "x\x00"), ("Ä", "x"),
        ]
    ),
]  # fmt: skip


@pytest.mark.parametrize("settings", UNUSABLE)
def test_settings_that_cannot_be_used_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(Rejected) as refusal:
        WEBHOOKS.connect(settings)
    assert refusal.value.reason == "INVALID_SETTINGS"


def test_a_refusal_of_settings_names_the_field_and_no_value() -> None:
    row = {"hook": "http://hunter2@", "headers": {"A": "hunter2\r\n"}}
    with pytest.raises(Rejected) as refusal:
        WEBHOOKS.connect({"hooks": [{"hook": "https://a.example"}, row]})
    assert "settings.hooks[1].hook" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_what_must_not_be_saved_is_named_by_its_field() -> None:
    six = [{"hook": f"https://a.example/{n}"} for n in range(6)]
    assert [field for field, _ in WEBHOOKS.faults({"hooks": six})] == ["settings.hooks"]
    assert WEBHOOKS.faults({"hooks": six[:5]}) == []
    assert WEBHOOKS.faults({}) == []
    faults = WEBHOOKS.faults({"hooks": [{"hook": "nowhere", "headers": {"Host": "x"}}], "globalHook": "x"})
    assert [field for field, _ in faults] == [
        "settings.hooks[0].hook",
        "settings.hooks[0].headers",
        "settings.globalHook",
    ]


def by_path(answers: dict[str, int | web.Response]) -> Any:
    return lambda arrival: answers[arrival.path]


async def test_an_event_is_sent_to_every_hook(partner: Partner) -> None:
    await send(webhook(*(f"{partner.url}/{n}" for n in range(5))))
    assert sorted(each.path for each in partner.arrivals) == ["/0", "/1", "/2", "/3", "/4"]
    assert len({each.body for each in partner.arrivals}) == 1


@pytest.mark.parametrize("other", [400, 404, 429, 503])
async def test_one_hook_that_takes_the_event_is_enough(partner: Partner, other: int) -> None:
    partner.answer = by_path({"/a": other, "/b": 204})
    await send(webhook(f"{partner.url}/a", f"{partner.url}/b"))
    assert len(partner.arrivals) == 2


async def test_a_retry_leaves_out_the_hooks_that_refused_for_good(partner: Partner) -> None:
    partner.answer = by_path({"/a": 503, "/b": 400, "/c": 500})
    settings = webhook(f"{partner.url}/a", f"{partner.url}/b", f"{partner.url}/c")
    with pytest.raises(Retryable) as first:
        await send(settings)
    assert (first.value.reason, first.value.progress) == ("503", 0b010)
    partner.arrivals.clear()
    partner.answer = by_path({"/a": 404, "/c": 502})
    with pytest.raises(Retryable) as second:
        await send(settings, progress=first.value.progress)
    assert (second.value.reason, second.value.progress) == ("502", 0b011)
    partner.arrivals.clear()
    partner.answer = by_path({"/c": 401})
    with pytest.raises(Rejected) as last:
        await send(settings, progress=second.value.progress)
    assert last.value.reason == "401"
    assert [each.path for each in partner.arrivals] == ["/c"]


async def test_progress_of_other_settings_does_not_leave_every_hook_out(partner: Partner) -> None:
    await send(webhook(partner.url), progress=0b11111)
    assert len(partner.arrivals) == 1


async def test_the_shortest_wait_that_a_hook_asked_for_is_kept(partner: Partner) -> None:
    wait = {"/a": "30", "/b": "10"}
    partner.answer = lambda arrival: web.Response(status=429, headers={"Retry-After": wait[arrival.path]})
    with pytest.raises(Retryable) as failure:
        await send(webhook(f"{partner.url}/a", f"{partner.url}/b"))
    assert failure.value.retry_after_seconds == 10


async def test_a_hook_that_hangs_does_not_undo_what_another_took(
    partner: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mainstem.destinations.post.TIMEOUT_SECONDS", 1.0)
    forever = asyncio.Event()

    async def answer(arrival: Any) -> int:
        if arrival.path == "/hangs":
            await forever.wait()
        return 200

    partner.answer = answer
    await send(webhook(f"{partner.url}/hangs", f"{partner.url}/well"))
    forever.set()
