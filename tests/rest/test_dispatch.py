"""The transport of the Public API: which refusal wins, and what every answer has."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import databases
from contract.proves import proves
from mainstem.engines.sqlite_control import FILE
from mainstem.errors import BadRequest, EngineUnavailable, NotFound
from mainstem.public_api import FAMILIES, labels
from mainstem.public_api.labels import CreateLabelInput, Label, LabelOutput
from mainstem.rest import tokens
from mainstem.rest.dispatch import Answer, Request, _by_beginning, _routes
from mainstem.rest.operation import Call, Family, Operation
from mainstem.rest.permissions import Needs
from mainstem.settings import Settings
from public_api.client import Api
from public_api.outcomes import ListedOutcomes

EVERY_OPERATION = [operation for family in FAMILIES for operation in family.operations]


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


def test_several_accept_headers_are_one(api: Api) -> None:
    headers = [("authorization", f"Bearer {api.owner}"), ("accept", "text/html"), ("accept", "application/json")]
    assert api.dispatcher.serve(Request("GET", "/labels", "", headers, b"")).status == 200


def test_a_used_up_limit_wins_over_an_unacceptable_version(tmp_path: Path) -> None:
    api = Api(tmp_path, settings=Settings(default_rate_limit=1))
    assert api.get("/labels").status == 200
    assert api.get("/labels", headers={"accept": "text/html"}).status == 429


@pytest.mark.parametrize(("content_type", "status"), [("application/json", 413), ("", 413), ("text/xml", 415)])
def test_a_body_over_the_limit_is_refused_after_its_media_type(api: Api, content_type: str, status: int) -> None:
    headers = [("authorization", f"Bearer {api.owner}"), ("content-type", content_type)]
    assert api.dispatcher.serve(Request("POST", "/labels", "", headers, None)).status == status


def test_an_unacceptable_version_wins_over_a_body_that_is_too_large(api: Api) -> None:
    headers = [("authorization", f"Bearer {api.owner}"), ("accept", "text/html")]
    assert api.dispatcher.serve(Request("POST", "/labels", "", headers, None)).status == 406


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


def test_a_bad_query_wins_over_a_missing_permission(api: Api) -> None:
    reply = api.get("/audit-events?pagination.cursor=zzz&startTime=soon", token=api.member)
    assert (reply.status, reply.fields) == (422, ["startTime", "pagination.cursor"])
    assert api.get("/audit-events", token=api.member).status == 403


def test_a_missing_permission_wins_over_a_missing_object(api: Api) -> None:
    assert api.delete("/sources/nothing", token=api.member).status == 403
    assert api.delete("/sources/nothing").status == 404


@pytest.mark.parametrize("operation", EVERY_OPERATION, ids=lambda operation: operation.id)
def test_no_operation_says_anything_without_a_token(api: Api, operation: Operation) -> None:
    path = "/".join("x" if part.startswith("{") else part for part in operation.path.split("/"))
    for authorization in ({}, {"authorization": f"Token {api.owner}"}):
        reply = api.call(f"{operation.method} {path}", token="", headers=authorization)
        assert (reply.status, list(reply.body)) == (401, ["errors"])


@pytest.mark.parametrize("operation", EVERY_OPERATION, ids=lambda operation: operation.id)
def test_every_operation_has_exactly_its_own_versions(api: Api, operation: Operation) -> None:
    path = "/".join("x" if part.startswith("{") else part for part in operation.path.split("/"))
    for version in ("v1", "v1beta", "v1alpha", "v2"):
        accept = {"accept": f"application/vnd.segment.{version}+json"}
        refused = api.call(f"{operation.method} {path}", headers=accept, token=api.member).status == 406
        assert refused == (version not in operation.versions), version


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/labels/%E4%B8%AD/" + "%E4%B8%AD" * 255, 404),
        ("/labels/environment/" + "%E4%B8%AD" * 256, 422),
        ("/labels/environment/" + "x" * 5000, 422),
        ("/labels/environment/", 404),
        ("/labels/environment", 404),
        ("//labels", 404),
    ],
)
def test_a_path_parameter_has_1_to_255_characters(api: Api, path: str, status: int) -> None:
    reply = api.delete(path)
    assert reply.status == status
    if status == 422:
        assert reply.fields == ["value"]


def test_paths_are_case_sensitive(api: Api) -> None:
    assert api.get("/Labels").status == 404


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([], b""),
        ([("content-type", "application/json")], b""),
        ([("content-type", "application/vnd.segment.v1alpha+json")], b"{}"),
        ([("content-length", "0")], b""),
        ([], b"{}"),
    ],
)
def test_a_call_that_takes_no_body_comes_with_an_empty_one_or_none(
    api: Api, headers: list[tuple[str, str]], body: bytes
) -> None:
    source = api.post("/sources", {"slug": "a", "enabled": True, "metadataId": "IqDTy1TpoU"}).data["source"]
    sent = [("authorization", f"Bearer {api.owner}"), *headers]
    answer = api.dispatcher.serve(Request("POST", f"/sources/{source['id']}/writekey", "", sent, body))
    assert answer.status == 200


def test_a_body_without_a_content_type_is_read_as_json(api: Api) -> None:
    sent = [("authorization", f"Bearer {api.owner}")]
    body = b'{"label": {"key": "a", "value": "b"}, "unknown": {"field": 1}}'
    assert api.dispatcher.serve(Request("POST", "/labels", "", sent, body)).status == 201


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


def test_an_operator_raises_a_limit_for_a_token_or_an_operation(tmp_path: Path) -> None:
    raised: dict[str, int] = {"listLabels": 3}
    api = Api(tmp_path, settings=Settings(default_rate_limit=2, rate_limit_overrides=raised))

    def let_in(target: str, token: str) -> int:
        return [api.get(target, token=token).status for _ in range(6)].count(200)

    assert let_in("/", api.owner) == 2
    assert let_in("/labels", api.owner) == 3
    with api.database.transaction(writes=False) as db:
        member = next(token.id for token in tokens.listed(db) if token.access == "member")
    raised |= {member: 4, f"{member}:listLabels": 5}
    assert let_in("/", api.member) == 4
    assert let_in("/labels", api.member) == 5


def test_a_vendor_type_is_echoed_as_content_type(api: Api) -> None:
    beta = "application/vnd.segment.v1beta+json"
    assert api.get("/labels", headers={"accept": beta}).headers["Content-Type"] == beta


def test_path_segments_are_decoded_once(api: Api) -> None:
    assert api.delete("/labels/environment/%64ev").status == 200
    assert api.delete("/labels/environment/%2564ev").status == 404


def test_a_revoked_token_is_refused_at_once(api: Api) -> None:
    assert api.get("/", token=api.member).status == 200
    with api.database.transaction(writes=True) as db:
        member = next(token for token in tokens.listed(db) if token.access == "member")
        tokens.revoke(db, member.id, api.now)
    assert api.get("/", token=api.member).status == 401


def test_no_secret_lies_in_plain_text_in_the_database(api: Api) -> None:
    data = databases.stored(api.folder)
    assert b"owner token" in data
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


def test_a_reply_that_cannot_be_written_leaves_nothing_committed(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from mainstem.public_api import labels

    monkeypatch.setattr(labels, "LabelOutput", lambda **_: object())
    assert api.post("/labels", {"label": {"key": "a", "value": "b"}}).status == 500
    assert len(api.get("/labels").data["labels"]) == 2
    assert api.get("/audit-events").data["events"] == []


def test_a_failure_is_logged_without_anything_that_was_sent(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mainstem.public_api import publish

    def broken(db: Any, *_: object) -> None:
        db.execute(text("INSERT INTO labels (workspace_id, key) VALUES (:a, NULL)"), parameters)

    parameters = {"a": "s3cret-row"}
    monkeypatch.setattr(publish, "put", broken)
    body = {"slug": "a", "enabled": True, "metadataId": "IqDTy1TpoU", "settings": {"apiHost": "s3cret-setting"}}
    assert api.post("/sources/?s3cret-query", body).status == 404
    assert api.post("/sources?s3cret-query", body).status == 500
    assert "createSource failed" in caplog.text
    assert "s3cret" not in caplog.text
    assert api.owner not in caplog.text


@pytest.mark.sqlite
def test_a_full_disk_is_503_changes_nothing_and_passes_by_itself(api: Api) -> None:
    with api.database.transaction(writes=False) as db:
        pages = db.execute(text("PRAGMA page_count")).scalar()
        db.execute(text(f"PRAGMA max_page_count = {pages}"))
    body = {"label": {"key": "big", "value": "x", "description": "d" * 100_000}}
    reply = api.post("/labels", body)
    assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
    assert reply.body["errors"][0]["type"] == "unavailable"
    assert [label["key"] for label in api.get("/labels").data["labels"]] == ["environment", "environment"]
    assert api.get("/audit-events").data["events"] == []
    with api.database.transaction(writes=False) as db:
        db.execute(text("PRAGMA max_page_count = 1000000"))
    assert api.post("/labels", body).status == 201


@pytest.mark.sqlite
def test_a_database_that_stays_locked_is_503_for_writes_and_still_read(api: Api) -> None:
    with api.database.transaction(writes=False) as db:
        db.execute(text("PRAGMA busy_timeout = 1"))
    other = sqlite3.connect(api.folder / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert api.post("/labels", {"label": {"key": "a", "value": "b"}}).status == 503
    assert len(api.get("/labels").data["labels"]) == 2
    other.execute("ROLLBACK")
    other.close()
    assert api.post("/labels", {"label": {"key": "a", "value": "b"}}).status == 201


def test_metrics_that_cannot_be_read_are_503(api: Api, outcomes: ListedOutcomes, monkeypatch: Any) -> None:
    def unavailable(*_: object) -> Any:
        raise EngineUnavailable("flow.db is gone")

    monkeypatch.setattr(outcomes, "api_calls", unavailable)
    api.post("/sources", {"slug": "shop", "enabled": True, "metadataId": "IqDTy1TpoU"})
    reply = api.get("/usage/api-calls/daily?period=2026-03-01")
    assert (reply.status, reply.headers["Retry-After"]) == (503, "1")
    assert "flow.db" not in str(reply.body)


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


class Slow:
    """A family of which an operation takes its time over what was sent, before it writes."""

    def __init__(self) -> None:
        self.began, self.may_end = threading.Event(), threading.Event()
        self.family = Family("Slow")
        self.family.operation("POST /slow/{name}", needs=Needs.WORKSPACE_OWNER, prepare=self.prepare)(self.handle)

    def prepare(self, name: str, body: CreateLabelInput) -> str:
        self.began.set()
        assert self.may_end.wait(20)
        if name == "refused":
            raise BadRequest("It was looked at and refused.")
        return f"{name}, looked at"

    def handle(self, call: Call, name: str, body: CreateLabelInput) -> LabelOutput:
        """Slow"""
        labels.add_default_labels(call.db, "other")
        if name == "missing":
            raise NotFound("There is no such thing.")
        return LabelOutput(label=Label(key=name, value=call.prepared()))


@pytest.fixture
def slow(api: Api, monkeypatch: pytest.MonkeyPatch) -> Slow:
    found = Slow()
    monkeypatch.setattr(api.dispatcher, "_routes", api.dispatcher._routes | _by_beginning(_routes([found.family])))
    return found


def ask_slowly(api: Api, name: str) -> Answer:
    headers = [("authorization", f"Bearer {api.owner}"), ("content-type", "application/json")]
    body = b'{"label": {"key": "k", "value": "v"}}'
    return api.dispatcher.serve(Request("POST", f"/slow/{name}", "", headers, body))


def test_what_takes_long_before_a_transaction_holds_up_no_other_write(api: Api, slow: Slow) -> None:
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(ask_slowly, api, "thing")
        assert slow.began.wait(20)
        assert api.post("/labels", {"label": {"key": "made", "value": "meanwhile"}}).status == 201
        slow.may_end.set()
        assert b"thing, looked at" in answer.result(20).body


@pytest.mark.parametrize(("name", "status"), [("refused", 400), ("missing", 404)])
def test_what_the_handler_finds_first_is_told_first(api: Api, slow: Slow, name: str, status: int) -> None:
    slow.may_end.set()
    assert ask_slowly(api, name).status == status
