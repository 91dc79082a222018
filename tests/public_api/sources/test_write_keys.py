from typing import Any

import pytest

from contract.proves import proves
from public_api.client import Api


@proves("createWriteKeyForSource", level=3)
def test_a_new_write_key_is_the_last_of_the_source(api: Api, source: dict[str, Any], url: str) -> None:
    keys = source["writeKeys"]
    for _ in range(3):
        reply = api.post(f"{url}/writekey")
        assert reply.status == 200
        assert reply.data["source"]["writeKeys"][:-1] == keys
        keys = reply.data["source"]["writeKeys"]
    assert len(set(keys)) == 4
    assert api.get(url).data["source"]["writeKeys"] == keys


@proves("removeWriteKeyFromSource", level=3)
def test_a_removed_write_key_is_gone_and_a_second_removal_finds_nothing(
    api: Api, source: dict[str, Any], url: str
) -> None:
    (first,) = source["writeKeys"]
    both = api.post(f"{url}/writekey").data["source"]["writeKeys"]
    assert api.delete(f"{url}/writekey/{first}").data == {"status": "SUCCESS"}
    assert api.get(url).data["source"]["writeKeys"] == both[1:]
    reply = api.delete(f"{url}/writekey/{first}")
    assert (reply.status, reply.messages) == (404, [f"Write key '{first}' not found in this source."])


def test_the_last_write_key_may_be_removed(api: Api, source: dict[str, Any], url: str) -> None:
    assert api.delete(f"{url}/writekey/{source['writeKeys'][0]}").status == 200
    assert api.get(url).data["source"]["writeKeys"] == []


def test_the_write_key_of_another_source_is_not_found(api: Api, source: dict[str, Any]) -> None:
    body = {"slug": "other", "enabled": True, "metadataId": "iUM16Md8P2"}
    other = api.post("/sources", body).data["source"]
    assert api.delete(f"/sources/{other['id']}/writekey/{source['writeKeys'][0]}").status == 404
    assert api.get(f"/sources/{source['id']}").data["source"] == source


@pytest.mark.parametrize("version", ["v1", "v1beta"])
def test_stable_and_beta_do_not_have_it(api: Api, url: str, version: str) -> None:
    headers = {"accept": f"application/vnd.segment.{version}+json"}
    assert api.post(f"{url}/writekey", headers=headers).status == 406


def test_alpha_and_plain_json_have_it(api: Api, url: str) -> None:
    alpha = {"accept": "application/vnd.segment.v1alpha+json"}
    assert api.post(f"{url}/writekey", headers=alpha).status == 200
    assert api.post(f"{url}/writekey").status == 200


def test_an_unknown_source_is_not_found(api: Api) -> None:
    assert api.post("/sources/nothing/writekey").status == 404
    assert api.delete("/sources/nothing/writekey/key").status == 404


def test_members_may_neither_make_nor_remove_one(api: Api, source: dict[str, Any], url: str) -> None:
    assert api.post(f"{url}/writekey", token=api.member).status == 403
    assert api.delete(f"{url}/writekey/{source['writeKeys'][0]}", token=api.member).status == 403


def test_both_are_in_the_audit_trail(api: Api, source: dict[str, Any], url: str) -> None:
    api.post(f"{url}/writekey")
    api.delete(f"{url}/writekey/{source['writeKeys'][0]}")
    events = [event["type"] for event in api.get("/audit-events").data["events"]]
    assert events == ["Source Modified", "Source Modified", "Source Created"]
