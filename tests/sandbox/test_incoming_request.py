"""What a source function sees of a request."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from mainstem.sandbox import Code, Ended, Invocation, Sandbox

CODE = """
async function onRequest(request) {
    const body = request.json();
    const same = JSON.stringify(await request.json()) === JSON.stringify(body);
    return { body, same, header: request.headers.get("X-Signature"), q: request.url.searchParams.get("q") };
}
"""


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    opened = Sandbox()
    yield opened
    await opened.close()


async def requested(sandbox: Sandbox, body: str, content_type: str) -> Ended:
    """How CODE ends on a request with this body."""
    headers = {"content-type": content_type, "x-signature": "s"}
    argument = json.dumps({"body": body, "headers": headers, "url": "https://x.test/functions/v1/k?q=1"})
    return await sandbox.invoke(Code("sfnc_1", "v1", "SOURCE", CODE), Invocation("onRequest", argument.encode()))


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        ('{"a": {"b": 1}}', "application/json", {"a": {"b": 1}}),
        ("[1]", "", [1]),
        ("From=%2B1&Body=a+b&a=", "application/x-www-form-urlencoded", {"From": "+1", "Body": "a b", "a": ""}),
        ("a=1", "Application/X-WWW-Form-Urlencoded; charset=utf-8", {"a": "1"}),
    ],
)
async def test_json_and_forms_are_read_without_waiting(
    sandbox: Sandbox, body: str, content_type: str, expected: object
) -> None:
    ended = await requested(sandbox, body, content_type)
    assert ended.value is not None, ended
    assert json.loads(ended.value) == {"body": expected, "same": True, "header": "s", "q": "1"}


async def test_a_body_that_is_no_json_is_an_error_of_the_function(sandbox: Sandbox) -> None:
    ended = await requested(sandbox, "{", "application/json")
    assert (ended.how, ended.error) == ("thrown", "SyntaxError")


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (
            '{"b": 1, "a": {"z": [{"d": 1, "c": 2}], "__proto__": 3}}',
            "",
            '{"a":{"__proto__":3,"z":[{"c":2,"d":1}]},"b":1}',
        ),
        ("b=1&a=2", "application/x-www-form-urlencoded", '{"a":"2","b":"1"}'),
    ],
)
async def test_the_keys_of_a_body_arrive_in_alphabetical_order(
    sandbox: Sandbox, body: str, content_type: str, text: str
) -> None:
    source = "async function onRequest(request) { return [JSON.stringify(request.json()), request.text()]; }"
    argument = json.dumps({"body": body, "headers": {"content-type": content_type}, "url": "https://x.test/"})
    ended = await sandbox.invoke(Code("sfnc_2", "v1", "SOURCE", source), Invocation("onRequest", argument.encode()))
    assert ended.value is not None, ended
    assert json.loads(ended.value) == [text, body], "and the text is as it was sent, for signatures are made of it"
