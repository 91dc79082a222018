"""Terraform of a workspace: names, references, what begins no expression, and comments."""

from __future__ import annotations

from typing import Any

from mainstem.workspace_files import terraform
from mainstem.workspace_files.document import Document
from mainstem.workspace_files.kinds import KINDS

SOURCE = {
    "id": "S1",
    "slug": "shop",
    "name": "Shop",
    "enabled": True,
    "metadataId": "m",
    "settings": {},
    "labels": [],
}


def text(**sections: list[dict[str, Any]]) -> str:
    workspace = {"id": "W", "slug": "acme", "name": "Acme"}
    return terraform.text_of(Document(workspace, {kind.section: [] for kind in KINDS} | sections))


def filter_of(number: int, title: str = "Drop") -> dict[str, Any]:
    return {
        "id": f"F{number}", "destinationId": "D", "sourceId": "S1", "title": title, "enabled": True, "if": "all",
        "actions": [{"type": "DROP_PROPERTIES", "fields": {"properties": ["card"]}}],
    }  # fmt: skip


def test_resources_refer_to_each_other_by_name_and_are_imported_by_id() -> None:
    made = text(sources=[SOURCE], destinationFilters=[filter_of(1)])
    assert "source_id = segment_source.shop.id" in made
    assert 'import {\n  to = segment_source.shop\n  id = "S1"\n}\n' in made
    assert 'import {\n  to = segment_destination_filter.drop\n  id = "D:F1"\n}\n' in made


def test_resources_that_are_called_the_same_get_names_that_differ() -> None:
    made = text(destinationFilters=[filter_of(1), filter_of(2), filter_of(3, "1 Ünï"), filter_of(4, "???")])
    for name in ("drop", "drop_2", "_1_n", "unnamed"):
        assert f'resource "segment_destination_filter" "{name}" {{' in made


def test_texts_begin_no_expression_and_know_only_escapes_of_the_language() -> None:
    code = 'const a = `${b}` + "\\\\b" // %{c} \b\f\n'
    function = {"id": "X", "displayName": "F", "resourceType": "SOURCE", "settings": [], "code": code}
    made = text(functions=[function])
    assert 'code = "const a = `$${b}` + \\"\\\\\\\\b\\" // %%{c} \\u0008\\u000c\\n"' in made


def test_secrets_are_variables_marked_as_sensitive() -> None:
    made = text(sources=[SOURCE | {"settings": {"apiKey": {"$secret": "source/S1/settings/apiKey"}}}])
    assert 'variable "source_S1_settings_apiKey" {\n  type      = string\n  sensitive = true\n}\n' in made
    assert "apiKey = var.source_S1_settings_apiKey" in made


def test_what_the_provider_has_no_resource_for_is_a_comment() -> None:
    made = text(livePlugins=[{"sourceId": "S1", "code": "planted\nline"}], invites=[{"email": "a@x.example"}])
    assert '# The provider has no resource for this live plugin: {"sourceId": "S1"}\n' in made
    assert "let it be accepted first" in made
    assert "planted" not in made
