from typing import Any

import pytest

from contract.proves import proves
from public_api.client import Api
from public_api.connections import trail

DEV = {"key": "environment", "value": "dev"}
PROD = {"key": "environment", "value": "prod"}
WEB = {"key": "team", "value": "web", "description": "the web team"}


@pytest.fixture(autouse=True)
def team(api: Api) -> None:
    api.post("/labels", {"label": WEB})


@proves("addLabelsToSource", level=3)
def test_adding_keeps_what_is_there_and_returns_all(api: Api, url: str) -> None:
    assert api.post(f"{url}/labels", {"labels": [DEV]}).data["labels"] == [DEV]
    assert api.post(f"{url}/labels", {"labels": [WEB]}).data["labels"] == [DEV, WEB]
    assert api.get(url).data["source"]["labels"] == [DEV, WEB]
    assert api.get("/sources").data["sources"][0]["labels"] == [DEV, WEB]


@proves("replaceLabelsInSource", level=3)
def test_replacing_leaves_exactly_what_was_sent(api: Api, url: str) -> None:
    api.post(f"{url}/labels", {"labels": [DEV]})
    assert api.put(f"{url}/labels", {"labels": [PROD, WEB]}).data["labels"] == [PROD, WEB]
    assert api.get(url).data["source"]["labels"] == [PROD, WEB]
    assert api.put(f"{url}/labels", {"labels": []}).data["labels"] == []


def test_replacing_is_in_the_audit_trail_where_it_changes_something(api: Api, url: str) -> None:
    for labels in ([DEV], [DEV], [PROD], []):
        api.put(f"{url}/labels", {"labels": labels})
    assert trail(api).count("Source Modified") == 3


def test_a_label_is_known_by_its_pair_and_keeps_its_description(api: Api, url: str) -> None:
    sent = [{"key": "team", "value": "web", "description": "something else"}]
    assert api.post(f"{url}/labels", {"labels": sent}).data["labels"] == [WEB]


@pytest.mark.parametrize("method", ["post", "put"])
def test_an_unknown_label_is_named_and_nothing_changes(api: Api, url: str, method: str) -> None:
    unknown = {"key": "team", "value": "app"}
    reply = getattr(api, method)(f"{url}/labels", {"labels": [DEV, unknown]})
    assert (reply.status, reply.fields) == (422, ["labels[1]"])
    assert api.get(url).data["source"]["labels"] == []


@pytest.mark.parametrize("method", ["post", "put"])
def test_two_values_of_one_key_are_refused(api: Api, url: str, method: str) -> None:
    reply = getattr(api, method)(f"{url}/labels", {"labels": [DEV, PROD]})
    assert (reply.status, reply.fields) == (422, ["labels[1]"])


def test_adding_another_value_of_a_key_is_refused(api: Api, url: str) -> None:
    api.post(f"{url}/labels", {"labels": [DEV]})
    assert api.post(f"{url}/labels", {"labels": [PROD]}).status == 422
    assert api.get(url).data["source"]["labels"] == [DEV]


def test_adding_a_label_twice_changes_nothing(api: Api, url: str) -> None:
    for _ in range(2):
        assert api.post(f"{url}/labels", {"labels": [DEV, DEV]}).data["labels"] == [DEV]
    events = [event["type"] for event in api.get("/audit-events").data["events"]]
    assert events.count("Source Modified") == 1


def test_every_faulty_label_is_named(api: Api, url: str) -> None:
    reply = api.post(f"{url}/labels", {"labels": [{"key": "x y", "value": "a"}, {"key": "a"}]})
    assert (reply.status, reply.fields) == (422, ["labels[0].key", "labels[1].value"])
    assert api.post(f"{url}/labels", {}).fields == ["labels"]


@proves("addLabelsToSource", "replaceLabelsInSource", level=4)
def test_a_label_in_use_cannot_be_deleted_until_no_source_bears_it(api: Api, url: str) -> None:
    api.post(f"{url}/labels", {"labels": [DEV]})
    assert api.delete("/labels/environment/dev").status == 409
    api.put(f"{url}/labels", {"labels": []})
    assert api.delete("/labels/environment/dev").status == 200


def test_an_unknown_source_is_not_found(api: Api) -> None:
    assert api.post("/sources/nothing/labels", {"labels": []}).status == 404
    assert api.put("/sources/nothing/labels", {"labels": []}).status == 404


def test_members_may_not_label_a_source(api: Api, source: dict[str, Any], url: str) -> None:
    for method in (api.post, api.put):
        assert method(f"{url}/labels", {"labels": [DEV]}, token=api.member).status == 403
