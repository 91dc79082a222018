"""The transport of the Public API: which refusal wins, and what every answer has."""

from email.utils import parsedate_to_datetime

import pytest

from contract.proves import proves
from mainstem.settings import Settings
from public_api.client import Api


def test_an_answer_has_data_and_the_rate_limit_headers(api: Api) -> None:
    reply = api.get("/")
    assert list(reply.body) == ["data"]
    assert reply.data["workspace"]["id"] == api.workspace.id
    assert reply.headers["X-RateLimit-Consumed"] == "1"
    assert reply.headers["X-RateLimit-Remaining"] == "999"
    assert parsedate_to_datetime(reply.headers["X-RateLimit-Reset"]) > api.now


@pytest.mark.parametrize("authorization", ["", "Token x", "Basic eDp5", "Bearer ", "Bearer mst_wrong"])
def test_a_call_without_a_known_token_is_unauthorized(api: Api, authorization: str) -> None:
    reply = api.get("/labels", token="", headers={"authorization": authorization} if authorization else {})
    assert (reply.status, reply.body["errors"][0]["type"]) == (401, "unauthorized")
    assert "data" not in reply.body


def test_a_token_in_the_query_is_no_token(api: Api) -> None:
    assert api.get(f"/labels?token={api.owner}", token="").status == 401


def test_an_unknown_route_is_404_even_without_a_token(api: Api) -> None:
    reply = api.get("/nothing", token="")
    assert (reply.status, reply.body["errors"][0]["type"]) == (404, "not-found")


def test_a_wrong_method_says_which_are_allowed(api: Api) -> None:
    reply = api.put("/labels", {}, token="")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, POST")


def test_no_answer_carries_a_cors_header(api: Api) -> None:
    asked = {"origin": "https://a.example", "access-control-request-method": "POST"}
    for reply in (api.call("OPTIONS /labels", headers=asked), api.get("/labels", headers=asked)):
        assert not [name for name in reply.headers if name.lower().startswith("access-control")]
    assert api.call("OPTIONS /labels", headers=asked).status == 405


def test_missing_authorization_wins_over_a_bad_body(api: Api) -> None:
    assert api.post("/labels", raw=b"{", token="").status == 401


def test_an_unacceptable_version_wins_over_a_bad_body(api: Api) -> None:
    accept = {"accept": "application/vnd.segment.v2+json"}
    assert api.post("/labels", raw=b"{", headers=accept).status == 406


def test_a_foreign_media_type_wins_over_a_bad_body(api: Api) -> None:
    assert api.post("/labels", raw=b"<label/>", headers={"content-type": "text/xml"}).status == 415


@pytest.mark.parametrize("raw", [b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_a_bad_request(api: Api, raw: bytes) -> None:
    reply = api.post("/labels", raw=raw)
    assert (reply.status, reply.body["errors"][0]["type"]) == (400, "bad-request")


def test_a_bad_shape_wins_over_a_missing_permission(api: Api) -> None:
    assert api.post("/labels", {}, token=api.member).status == 422
    assert api.post("/labels", {"label": {"key": "a", "value": "b"}}, token=api.member).status == 403


def test_an_empty_body_is_reported_field_by_field(api: Api) -> None:
    reply = api.call("POST /labels", headers={"content-type": "text/plain"})
    assert (reply.status, reply.fields) == (422, ["label"])


def test_a_beyond_limit_call_is_refused_with_retry_after(tmp_path_factory: pytest.TempPathFactory) -> None:
    api = Api(tmp_path_factory.mktemp("limited"), settings=Settings())
    for value in range(60):
        assert api.post("/labels", {"label": {"key": "n", "value": f"v{value}"}}).status == 201
    api.pass_time(seconds=15)
    reply = api.post("/labels", {"label": {"key": "n", "value": "v60"}})
    assert (reply.status, reply.headers["Retry-After"]) == (429, "45")
    assert reply.body["errors"][0]["type"] == "RequestError"
    api.pass_time(seconds=45)
    assert api.post("/labels", {"label": {"key": "n", "value": "v60"}}).status == 201


def test_a_vendor_type_is_echoed_as_content_type(api: Api) -> None:
    beta = "application/vnd.segment.v1beta+json"
    assert api.get("/labels", headers={"accept": beta}).headers["Content-Type"] == beta


def test_path_segments_are_decoded_once(api: Api) -> None:
    assert api.delete("/labels/environment/%64ev").status == 200
    assert api.delete("/labels/environment/%2564ev").status == 404


def test_a_revoked_token_is_refused_at_once(api: Api) -> None:
    from mainstem.rest import tokens

    assert api.get("/", token=api.member).status == 200
    with api.database.transaction(writes=True) as db:
        member = next(token for token in tokens.listed(db) if token.access == "member")
        tokens.revoke(db, member.id, api.now)
    assert api.get("/", token=api.member).status == 401


def test_no_secret_lies_in_plain_text_in_the_database(api: Api) -> None:
    data = b"".join(path.read_bytes() for path in api.database.path.parent.iterdir())
    assert api.owner.encode() not in data
    assert api.owner[4:47].encode() not in data


def test_a_failure_inside_an_operation_is_one_500_and_changes_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mainstem.rest import audit

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(audit, "record", broken)
    reply = api.delete("/labels/environment/dev")
    assert reply.status == 500
    assert "secret detail" not in str(reply.body)
    assert len(api.get("/labels").data["labels"]) == 2


@proves("echo", level=3)
def test_the_echo_answers_what_was_asked_and_never_the_token(api: Api) -> None:
    reply = api.get("/echo?message=hi%20there")
    assert (reply.data["message"], reply.data["method"]) == ("hi there", "get")
    assert api.owner not in str(reply.body)
    assert api.get("/echo?message=x&triggerError=true").status == 400
    assert len(api.get("/echo?message=x&triggerMultipleErrors=true").body["errors"]) == 2
    assert api.get("/echo?message=x&triggerUnexpectedError=true").status == 500
    assert api.get("/echo?message=x&statusCode=418").status == 418
    assert api.get("/echo?message=x&triggerError=true&statusCode=418").status == 400
