"""A workspace as code: Segment's own Terraform provider, unmodified, and `mainstem serve` with its rate limits on.

tests/clients/terraform/main.tf has each of the provider's 16 resources and its data sources but the one of a user,
who must have accepted first. Its variable `changed` makes another version of everything.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from journeys.clients import CLIENTS, PACKAGES, ROOT
from mainstem.__main__ import main
from serving import OWNER_TOKEN, Served, served

pytestmark = pytest.mark.terraform

PROGRAMS = ROOT / ".clients" / "terraform"
NOTHING, DIFFERS = 0, 2  # exit codes of plan
RESOURCES = 25
INVITED = "tf.invited@example.com"
SECONDS = 300

# What identifies a resource that exists, by its type; the others have an id. One type cannot be imported.
IMPORT_ID = {
    "segment_label": "{key}:{value}",
    "segment_destination_filter": "{destination_id}:{id}",
    "segment_destination_subscription": "{destination_id}:{id}",
    "segment_profiles_warehouse": "{space_id}:{id}",
    "segment_source_tracking_plan_connection": "{source_id}:{tracking_plan_id}",
}
NOT_IMPORTED = "segment_source_warehouse_connection"
# The provider cannot know what these keep secret, or spell differently: it writes them once after an import.
WRITTEN_AFTER_IMPORT = {
    "segment_destination.hook",
    "segment_function.destination",
    "segment_function.insert",
    "segment_insert_function_instance.insert",
    "segment_profiles_warehouse.profiles",
    "segment_source_tracking_plan_connection.connection",
    "segment_user.invited",
    "segment_warehouse.store",
}


class Folder:
    """A folder with the configuration and a state, and the command at work in it."""

    def __init__(self, path: Path, server: Served) -> None:
        path.mkdir()
        self.path = path
        (path / "main.tf").write_bytes((CLIENTS / "terraform" / "main.tf").read_bytes())
        override = f'provider_installation {{ dev_overrides {{ "segmentio/segment" = "{PROGRAMS}" }} }}\n'
        (path / "rc").write_text(override)
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(path),
            "TF_CLI_CONFIG_FILE": str(path / "rc"),
            "CHECKPOINT_DISABLE": "1",
            "PUBLIC_API_URL": server.api_url,
            "PUBLIC_API_TOKEN": OWNER_TOKEN,
            "TF_VAR_space_id": ask(server, "/spaces")["spaces"][0]["id"],
        }

    def run(self, *arguments: str, expected: int = 0) -> str:
        """Run the command; what it printed."""
        done = subprocess.run(
            [str(PROGRAMS / "tofu"), *arguments],
            cwd=self.path,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == expected, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def set_variable(self, name: str, value: str) -> None:
        """Give a variable of the configuration a value."""
        self._environment[f"TF_VAR_{name}"] = value

    def apply(self, *flags: str) -> str:
        return self.run("apply", "-auto-approve", "-no-color", *flags)

    def plan(self, *flags: str, expected: int = NOTHING) -> str:
        return self.run("plan", "-detailed-exitcode", "-no-color", *flags, expected=expected)

    def resources(self) -> list[Mapping[str, Any]]:
        """What the state says of each resource."""
        shown = json.loads(self.run("show", "-json"))
        return [each for each in shown["values"]["root_module"]["resources"] if each["mode"] == "managed"]


def ask(server: Served, path: str) -> Any:
    """What a GET of the Public API answers."""
    reply = httpx.get(server.api_url + path, headers={"Authorization": f"Bearer {OWNER_TOKEN}"})
    assert reply.status_code == 200, reply.text
    return reply.json()["data"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Served]:
    """A server with the open-source destinations, and with the published rate limits."""
    missing = [name for name in ("tofu", "terraform-provider-segment") if not (PROGRAMS / name).exists()]
    assert not missing, f"{missing} is not installed; run scripts/install-terraform"
    flags = ["--api", "127.0.0.1:0", "--tracking", "127.0.0.1:0", "--packages", str(PACKAGES)]
    with served(tmp_path, *flags) as running:
        yield running


def import_blocks(resources: list[Mapping[str, Any]]) -> str:
    """The configuration that imports everything that exists."""
    blocks = []
    for each in resources:
        if each["type"] != NOT_IMPORTED:
            name = IMPORT_ID.get(each["type"], "{id}").format(**each["values"])
            blocks.append(f'import {{\n  to = {each["address"]}\n  id = "{name}"\n}}\n')
    return "\n".join(blocks)


def planned_updates(folder: Folder) -> set[str]:
    """Addresses of what a plan would change or replace."""
    folder.plan("-out", "plan", expected=DIFFERS)
    changes = json.loads(folder.run("show", "-json", "plan"))["resource_changes"]
    return {
        each["address"]
        for each in changes
        if each["mode"] == "managed" and each["change"]["actions"] != ["no-op"] and each["type"] != NOT_IMPORTED
    }


def test_a_workspace_is_applied_changed_imported_and_destroyed_and_each_plan_after_it_is_empty(
    server: Served, tmp_path: Path
) -> None:
    folder = Folder(tmp_path / "workspace", server)
    assert f"{RESOURCES} added" in folder.apply()
    folder.plan()
    assert "0 destroyed" in folder.apply("-var", "changed=true")
    folder.plan("-var", "changed=true")
    folder.plan("-var", "changed=true")

    assert main(["user", "accept", INVITED, "--data", str(tmp_path / "data")]) == 0  # an invite cannot be imported
    folder.apply()
    again = Folder(tmp_path / "imported", server)
    (again.path / "imports.tf").write_text(import_blocks(folder.resources()))
    assert planned_updates(again) <= WRITTEN_AFTER_IMPORT
    again.apply()
    again.plan()

    assert f"{RESOURCES} destroyed" in again.run("destroy", "-auto-approve", "-no-color")
    assert ask(server, "/sources")["sources"] == []
    assert ask(server, "/invites")["invites"] == []
    assert ask(server, "/groups")["userGroups"] == []


def test_an_invited_user_who_accepts_is_the_same_resource(server: Served, tmp_path: Path) -> None:
    folder = Folder(tmp_path / "workspace", server)
    targets = ("-target", "segment_user_group.growth")
    folder.apply(*targets)
    assert ask(server, "/invites")["invites"] == [INVITED]
    assert main(["user", "accept", INVITED, "--data", str(tmp_path / "data")]) == 0
    (folder.path / "user.tf").write_text('data "segment_user" "me" {\n  id = segment_user.invited.id\n}\n')
    folder.apply(*targets, "-target", "data.segment_user.me")
    folder.plan(*targets)
    folder.apply("-var", "changed=true", *targets, "-target", "segment_source.site")
    (user,) = [each for each in ask(server, "/users")["users"] if each["email"] == INVITED]
    assert [each["type"] for each in user["permissions"][0]["resources"]] == ["SOURCE"]
    folder.run("destroy", "-auto-approve", "-no-color")
    assert INVITED not in [each["email"] for each in ask(server, "/users")["users"]]


def test_an_export_as_terraform_is_imported_in_an_empty_folder_and_plans_clean(
    server: Served, tmp_path: Path
) -> None:
    folder = Folder(tmp_path / "workspace", server)
    folder.apply()
    data = str(tmp_path / "data")
    assert main(["user", "accept", INVITED, "--data", data]) == 0
    again = Folder(tmp_path / "exported", server)
    command = ["workspace", "export", "--format", "terraform", "--packages", str(PACKAGES)]
    assert main([*command, "--data", data, "--out", str(again.path)]) == 0
    text = (again.path / "main.tf").read_text()
    assert "s3cret" not in text
    for name in re.findall(r'^variable "(\w+)"', text, re.MULTILINE):
        again.set_variable(name, "s3cret-first" if "sharedSecret" in name else "s3cret")
    written = {address.partition(".")[0] for address in planned_updates(again)}
    assert written <= {address.partition(".")[0] for address in WRITTEN_AFTER_IMPORT}
    again.apply()
    again.plan()
