"""What grants add up to. The truth table of labels is that of the product guide."""

from __future__ import annotations

import pytest

from mainstem.rest.grants import Resource
from mainstem.rest.permissions import ResourceType
from public_api.client import Api
from public_api.connections import new_source


def on_labels(api: Api, *labels: tuple[str, str]) -> Resource:
    return Resource(api.workspace.id, ResourceType.WORKSPACE, labels)


def label(api: Api, source_id: str, **labels: str) -> None:
    for key, value in labels.items():
        api.post("/labels", {"label": {"key": key, "value": value}})
    marks = [{"key": key, "value": value} for key, value in labels.items()]
    assert api.put(f"/sources/{source_id}/labels", {"labels": marks}).status == 200


def listed(api: Api, token: str) -> set[str]:
    return {each["slug"] for each in api.get("/sources", token=token).data["sources"]}


@pytest.mark.parametrize(
    ("labels", "seen"),
    [
        ([("environment", "prod")], {"a", "b"}),
        ([("environment", "prod"), ("product", "truck")], {"b"}),
        ([("product", "car")], {"a", "c"}),
    ],
)
def test_labels_of_one_grant_must_all_be_there(api: Api, labels: list[tuple[str, str]], seen: set[str]) -> None:
    for slug, environment, product in (("a", "prod", "car"), ("b", "prod", "truck"), ("c", "dev", "car")):
        label(api, new_source(api, slug=slug), environment=environment, product=product)
    assert listed(api, api.member_with("Source Read-only", on_labels(api, *labels))) == seen
    two = api.member_with("Source Read-only", on_labels(api, *labels), on_labels(api, ("product", "truck")))
    assert listed(api, two) == seen | {"b"}


def test_what_is_outside_the_reach_is_not_there_and_what_may_only_be_read_is_refused(api: Api) -> None:
    one, two = (new_source(api, slug=slug) for slug in ("one", "two"))
    reader = api.member_with("Source Read-only", Resource(one, ResourceType.SOURCE))
    assert listed(api, reader) == {"one"}
    assert api.get(f"/sources/{one}", token=reader).data["source"]["writeKeys"] == []
    assert api.patch(f"/sources/{one}", {"name": "x"}, token=reader).status == 403
    assert api.get(f"/sources/{two}", token=reader).status == 404
    admin = api.member_with("Source Admin", Resource(one, ResourceType.SOURCE))
    assert len(api.get(f"/sources/{one}", token=admin).data["source"]["writeKeys"]) == 1
    assert api.patch(f"/sources/{one}", {"name": "x"}, token=admin).status == 200
    assert api.patch(f"/sources/{two}", {"name": "x"}, token=admin).status == 404
    assert api.post("/sources", {"slug": "three", "enabled": True, "metadataId": "x"}, token=admin).status == 403


def test_administering_by_label_shows_the_write_keys_of_what_bears_it(api: Api) -> None:
    one = new_source(api, slug="one")
    new_source(api, slug="two")
    label(api, one, environment="prod")
    everything = Resource(api.workspace.id, ResourceType.WORKSPACE)
    token = api.member_with("Source Read-only", everything)
    assert listed(api, token) == {"one", "two"}
    admin = api.member_with("Source Admin", on_labels(api, ("environment", "prod")))
    (source,) = api.get("/sources", token=admin).data["sources"]
    assert (source["id"], len(source["writeKeys"])) == (one, 1)


def test_a_token_without_any_role_sees_the_workspace_and_nothing_in_it(api: Api) -> None:
    new_source(api)
    bare = api.member_with("")
    assert api.get("/", token=bare).status == 200
    assert api.get("/sources", token=bare).status == 403
