"""`mainstem workspace`: whole workspaces as files, copied, and several of them in one instance."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commands.furnished import JAVASCRIPT, PLANTED, asking, flags, furnish, new_folder
from mainstem.__main__ import main
from mainstem.commands.workspaces import Bar
from mainstem.workspace_files import kinds
from mainstem.workspace_files.kinds import KINDS

OWNER = "owner@localhost"


@pytest.fixture
def furnished(tmp_path: Path) -> Path:
    """A data folder with one of everything, and Ann let in."""
    folder = new_folder(tmp_path / "data")
    furnish(folder)
    assert main(["user", "accept", "ann@x.example", "--name", "Ann", *flags(folder)]) == 0
    return folder


def run(folder: Path, *command: str) -> int:
    return main(["workspace", *command, *flags(folder)])


def exported(folder: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    capsys.readouterr()
    assert run(folder, "export", *flags) == 0
    return capsys.readouterr().out


def saved(text: str, path: Path) -> str:
    path.write_text(text)
    return str(path)


def secrets_of(text: str, path: Path) -> str:
    """A file with a value for every secret that the text refers to."""
    names = re.findall(r'"\$secret": "([^"]+)"', text)
    given = {name: f"{index:032}" if "/writeKeys/" in name else "given" for index, name in enumerate(names)}
    return saved(json.dumps(given), path)


def without_ids(text: str) -> str:
    """The text with every id as the number of its first appearance, and without the names of the workspace."""
    content = json.loads(text)
    ids = [each["id"] for kind in KINDS if kind.has_id for each in content[kind.section]]
    ids += [each["catalogId"] for each in content["functions"]] + [content.pop("workspace")["id"]]
    text = json.dumps(content, sort_keys=True)
    for number, each in enumerate(ids):
        text = text.replace(each, f"<{number}>")
    return text


def test_an_export_has_every_kind_of_object_is_the_same_each_time_and_holds_no_secret(
    furnished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = exported(furnished, capsys)
    assert exported(furnished, capsys) == text
    content = json.loads(text)
    assert [kind.section for kind in KINDS if not content[kind.section]] == ["subscriptions"]  # needs packages
    assert [
        each for each in PLANTED if each in text or each in exported(furnished, capsys, "--format", "terraform")
    ] == []


def test_an_export_imported_where_it_came_from_changes_nothing(
    furnished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = saved(exported(furnished, capsys), tmp_path / "w.json")
    assert run(furnished, "import", file, "--prune") == 0
    assert capsys.readouterr().out == "Nothing to change.\n"


def test_a_copy_in_another_instance_is_the_same_up_to_ids_and_keeps_those_it_can(
    furnished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = exported(furnished, capsys)
    file, secrets = saved(text, tmp_path / "w.json"), secrets_of(text, tmp_path / "secrets.json")
    other = new_folder(tmp_path / "other")
    assert run(other, "import", file, "--yes", "--secrets", secrets) == 0, capsys.readouterr().err
    said = capsys.readouterr().out
    assert "create source site\n" in said
    assert "create destination filter No identifies of Hooks of site\n" in said
    copy = exported(other, capsys)
    assert without_ids(copy) == without_ids(text)
    kept = {"sources", "destinations", "functions", "trackingPlans", "warehouses", "groups", "credentials"}
    for section in kept:
        assert [each["id"] for each in json.loads(copy)[section]] == [
            each["id"] for each in json.loads(text)[section]
        ]
    assert run(other, "import", file) == 0
    assert "Nothing to change.\n" in capsys.readouterr().out


def test_a_copy_beside_the_original_gets_ids_of_its_own_and_is_found_again(
    furnished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = exported(furnished, capsys)
    file, secrets = saved(text, tmp_path / "w.json"), secrets_of(text, tmp_path / "secrets.json")
    assert run(furnished, "create", "Copy") == 0
    assert run(furnished, "import", file, "--yes", "--secrets", secrets, "--workspace", "copy") == 0
    copy = exported(furnished, capsys, "--workspace", "copy")
    assert without_ids(copy) == without_ids(text)
    assert not {each["id"] for each in json.loads(copy)["sources"]} & {
        each["id"] for each in json.loads(text)["sources"]
    }
    assert run(furnished, "import", file, "--workspace", "copy") == 0
    assert "Nothing to change.\n" in capsys.readouterr().out
    assert exported(furnished, capsys, "--workspace", "my-workspace") == text


def secrets_with_own_write_keys(folder: Path, text: str, path: Path) -> str:
    """The same with the write keys that the sources of a folder have."""
    keys = path.with_name("keys.json")
    assert run(folder, "export", "--out", str(path.with_name("again.json")), "--write-keys", str(keys)) == 0
    given = json.loads(Path(secrets_of(text, path)).read_text()) | json.loads(keys.read_text())
    return saved(json.dumps(given), path)


def write_keys(folder: Path) -> dict[str, list[str]]:
    with asking(folder) as ask:
        return {each["slug"]: each["writeKeys"] for each in ask("GET /sources?pagination.count=50")["sources"]}


def test_a_workspace_that_is_imported_into_an_empty_instance_is_exported_as_the_same_bytes(
    furnished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = exported(furnished, capsys)
    secrets = secrets_with_own_write_keys(furnished, text, tmp_path / "secrets.json")
    other = new_folder(tmp_path / "other")
    before, wanted = json.loads(exported(other, capsys)), json.loads(text)
    assert run(other, "import", saved(text, tmp_path / "w.json"), "--yes", "--secrets", secrets) == 0
    copy = exported(other, capsys)
    known = [(before["workspace"]["id"], wanted["workspace"]["id"])]  # what an instance is made with
    known += [(ours["id"], theirs["id"]) for ours, theirs in zip(before["spaces"], wanted["spaces"], strict=True)]
    known += [(before["users"][0]["id"], next(u["id"] for u in wanted["users"] if u["email"] == OWNER))]
    for ours, theirs in known:
        copy = copy.replace(ours, theirs)
    assert copy == text
    assert write_keys(other) == write_keys(furnished)
    assert [len(keys) for keys in write_keys(other).values()] == [3, 0, 1, 1]
    assert main(["doctor", "--deep", *flags(other)]) == 0
    assert main(["audit", "verify", *flags(other)]) == 0
    capsys.readouterr()
    assert run(other, "import", str(tmp_path / "w.json"), "--plan") == 0
    assert capsys.readouterr().out == "Nothing to change.\n"


def test_a_source_without_its_write_keys_in_the_file_keeps_those_it_has_and_a_new_one_gets_one(
    furnished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    content = json.loads(exported(furnished, capsys))
    for each in content["sources"]:
        each.pop("writeKeys", None)
    before = write_keys(furnished)
    content["sources"].append(content["sources"][1] | {"id": "z" * 22, "slug": "new"})
    assert run(furnished, "import", saved(json.dumps(content), tmp_path / "w.json"), "--yes", "--prune") == 0
    after = write_keys(furnished)
    assert len(after.pop("new")) == 1
    assert after == before


def test_write_keys_are_added_and_only_pruning_deletes_one(
    furnished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    content = json.loads(exported(furnished, capsys))
    site = content["sources"][0]
    first, second, third = write_keys(furnished)["site"]
    names = [each["$secret"] for each in site["writeKeys"]]
    site["writeKeys"] = site["writeKeys"][:2]
    file = saved(json.dumps(content), tmp_path / "w.json")
    secrets = saved(json.dumps({names[0]: "k" * 32, names[1]: second}), tmp_path / "secrets.json")
    assert run(furnished, "import", file, "--yes", "--secrets", secrets) == 0
    said = capsys.readouterr().out
    assert "change source site: writeKeys a write key added\n" in said
    assert "note: source site: keeps 2 write keys that the file does not have\n" in said
    assert write_keys(furnished)["site"] == [first, second, third, "k" * 32]
    assert run(furnished, "import", file, "--yes", "--prune", "--secrets", secrets) == 0
    assert "change source site: writeKeys 2 write keys deleted\n" in capsys.readouterr().out
    assert write_keys(furnished)["site"] == [second, "k" * 32]
    assert run(furnished, "import", file, "--prune", "--plan", "--secrets", secrets) == 0


def test_a_write_key_that_another_source_has_or_that_is_none_is_refused(
    furnished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = exported(furnished, capsys)
    file, before = saved(text, tmp_path / "w.json"), write_keys(furnished)
    name = json.loads(text)["sources"][0]["writeKeys"][0]["$secret"]
    for key, fault in ((before["hooked"][0], "another source has"), ("no key", '"writeKeys[0]" must be')):
        secrets = saved(json.dumps({name: key}), tmp_path / "secrets.json")
        assert run(furnished, "import", file, "--yes", "--secrets", secrets) == 1
        told = capsys.readouterr().err
        assert "mainstem: source site: " in told
        assert fault in told
        assert key not in told
    assert write_keys(furnished) == before


def test_a_file_of_write_keys_is_for_nobody_else_to_read(furnished: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    assert run(furnished, "export", "--out", str(tmp_path / "w.json"), "--write-keys", str(file)) == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert {*json.loads(file.read_text()).values()} == {
        key for keys in write_keys(furnished).values() for key in keys
    }
    assert run(furnished, "export", "--format", "terraform", "--out", str(tmp_path)) == 0
    for written in (tmp_path / "w.json", tmp_path / "main.tf"):
        assert not [key for key in json.loads(file.read_text()).values() if key in written.read_text()]


def test_the_token_of_an_invite_stays_when_its_roles_change(
    furnished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = ["user", "invite", "dan@x.example", *flags(furnished)]
    assert main(command) == 0
    token = re.findall(r"inv_\S+", capsys.readouterr().out)[0]
    content = json.loads(exported(furnished, capsys))
    dan, cid = (next(each for each in content["invites"] if each["email"].startswith(who)) for who in ("dan", "cid"))
    dan["permissions"] = cid["permissions"]
    assert run(furnished, "import", saved(json.dumps(content), tmp_path / "w.json"), "--yes") == 0
    assert json.loads(exported(furnished, capsys)) == content
    assert main(["user", "accept", token, *flags(furnished)]) == 0
    capsys.readouterr()
    people = json.loads(exported(furnished, capsys))["users"]
    assert next(each for each in people if each["email"] == "dan@x.example")["permissions"] == cid["permissions"]
    dan["permissions"] = [{"roleId": "unknown", "resources": []}]
    content["invites"] = [cid | {"permissions": [{"roleId": "unknown", "resources": []}]}]
    assert run(furnished, "import", saved(json.dumps(content), tmp_path / "w.json"), "--yes") == 1
    assert "mainstem: invite cid@x.example: " in capsys.readouterr().err


def test_a_section_that_a_file_does_not_have_is_left_alone_by_pruning_too(
    furnished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    content = json.loads(exported(furnished, capsys))
    del content["schemaControls"], content["destinationFilters"]
    file = saved(json.dumps(content), tmp_path / "w.json")
    assert run(furnished, "import", file, "--prune", "--plan") == 0
    assert capsys.readouterr().out == "Nothing to change.\n"


def test_a_write_is_answered_while_an_export_is_under_way_and_the_export_does_not_see_it(
    furnished: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = exported(furnished, capsys)
    read, written = kinds.Reading.of, []

    def writing_meanwhile(reading: kinds.Reading, section: str) -> Iterator[kinds.Object]:
        if not written:
            with asking(furnished) as ask:
                written.append(ask("POST /labels", {"label": {"key": "made", "value": "meanwhile"}}))
                body = {"slug": "meanwhile", "enabled": True, "metadataId": JAVASCRIPT}
                written.append(ask("POST /sources", body))
        return read(reading, section)

    with monkeypatch.context() as patch:
        patch.setattr(kinds.Reading, "of", writing_meanwhile)
        assert exported(furnished, capsys) == before
    assert len(written) == 2
    assert "meanwhile" in exported(furnished, capsys)


def test_what_an_export_read_stands_in_the_audit_trail(furnished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def retrieved() -> int:
        with asking(furnished) as ask:
            events = ask("GET /audit-events?pagination.count=200")["events"]
        return sum(each["type"] == "Profiles Sync Warehouse Retrieved" for each in events)

    before = retrieved()
    exported(furnished, capsys)
    assert retrieved() == before + 2  # one for each space
    assert main(["audit", "verify", *flags(furnished)]) == 0


class Screen(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_bar_of_a_section_grows_on_a_terminal_and_what_is_said_meanwhile_has_a_line_of_its_own() -> None:
    screen = Screen()
    bar = Bar(screen)
    watch = bar.section("sources")
    watch(1, 4)
    bar.say("listSources: the server answered 429; waiting 7 seconds")
    watch(2, 4)
    bar.ended("sources", 4, "")
    begun, said, ended = screen.getvalue().split("\r\x1b[K")
    assert "[######                  ] 1 of 4" in begun
    assert said.startswith("listSources: the server answered 429; waiting 7 seconds\n\r")
    assert "[############            ] 2 of 4" in said
    assert ended.split() == ["sources", "4"]


def change(text: str, section: str, index: int, **fields: Any) -> str:
    content = json.loads(text)
    content[section][index] |= fields
    return json.dumps(content)


def test_a_plan_says_the_difference_in_words_and_changes_nothing(
    furnished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = exported(furnished, capsys)
    site = json.loads(text)["sources"][0]
    wanted = change(text, "sources", 0, settings=site["settings"] | {"region": "us"}, name="Shop")
    assert run(furnished, "import", saved(wanted, tmp_path / "w.json"), "--plan") == 2
    said = capsys.readouterr().out
    assert said == "change source site: name site -> Shop, settings.region nothing -> us\n"
    assert exported(furnished, capsys) == text
    assert run(furnished, "import", str(tmp_path / "w.json"), "--yes") == 0
    capsys.readouterr()
    assert json.loads(exported(furnished, capsys)) == json.loads(wanted)


def test_changes_of_every_kind_are_applied(
    furnished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    content = json.loads(exported(furnished, capsys))
    content["credentials"][0]["name"] = "renamed"
    content["functions"][0]["code"] += "// newer"
    content["functions"][1]["displayName"] = "Other"
    content["trackingPlans"][0]["rules"][0]["jsonSchema"] = {"type": "object", "required": ["properties"]}
    content["sources"][0]["labels"] = []
    content["schemaSettings"][0]["settings"]["track"]["allowUnplannedEvents"] = True
    content["schemaControls"][0]["off"] = content["schemaControls"][0]["off"][1:]
    content["functions"][0]["deployedCode"] += "// another that runs"
    content["invites"][1]["permissions"] = []
    content["livePlugins"][0]["code"] = "const b = 2"
    content["warehouses"][0]["settings"] |= {"database": "other"}
    content["warehouseSchedules"][0]["schedule"]["times"][0]["hourOfDay"] = 4
    content["selectiveSyncs"][0]["excluded"] = [{"collection": "screens"}]
    content["reverseEtlModels"][0]["query"] = "SELECT 1"
    content["destinations"][0]["enabled"] = False
    content["destinationFilters"][0]["title"] = "None"
    content["insertFunctionInstances"][0]["settings"]["region"] = "us"
    content["transformations"][0]["enabled"] = False
    content["spaceFilters"][0]["drop"] = False
    content["profilesWarehouses"][0]["schemaName"] = "humans"
    content["profilesSelectiveSyncs"][0]["excluded"] = []
    content["profilesSelectiveSyncs"][0]["enableEventTables"] = False
    content["users"][0]["permissions"] = []
    content["groups"][0]["members"] = ["bob@x.example"]
    file = saved(json.dumps(content), tmp_path / "w.json")
    assert run(furnished, "import", file, "--yes") == 0, capsys.readouterr().err
    assert json.loads(exported(furnished, capsys)) == content
    assert main(["audit", "verify", *flags(furnished)]) == 0


def test_only_with_prune_is_deleted_what_the_file_does_not_have(
    furnished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    empty = new_folder(tmp_path / "empty")
    content = json.loads(exported(empty, capsys))
    content["users"][0]["id"] = json.loads(exported(furnished, capsys))["users"][1]["id"]
    file = saved(json.dumps(content), tmp_path / "w.json")
    assert run(furnished, "import", file, "--yes") == 0
    assert "Nothing to change.\n" in capsys.readouterr().out
    assert run(furnished, "import", file, "--yes", "--prune") == 0, capsys.readouterr().err
    assert "delete source site\n" in capsys.readouterr().out
    assert without_ids(exported(furnished, capsys)) == without_ids(json.dumps(content))


def test_missing_secrets_are_listed_and_nothing_is_applied(
    furnished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = exported(furnished, capsys)
    other = new_folder(tmp_path / "other")
    before = exported(other, capsys)
    assert run(other, "import", saved(text, tmp_path / "w.json"), "--yes") == 1
    told = capsys.readouterr().err
    for name in re.findall(r'"\$secret": "([^"]+)"', text):
        assert (f"  {name}\n" in told) is ("/writeKeys/" not in name)  # a new one does as well
    assert exported(other, capsys) == before


def test_a_secret_comes_from_the_environment_too_and_is_never_shown(
    furnished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = exported(furnished, capsys)
    name = json.loads(text)["warehouses"][0]["settings"]["password"]["$secret"]
    monkeypatch.setenv("SECRET_" + name.replace("/", "_"), "planted-in-a-variable")
    assert run(furnished, "import", saved(text, tmp_path / "w.json"), "--yes") == 0
    said = capsys.readouterr()
    assert "change warehouse Store: settings.password (a secret)\n" in said.out
    assert "planted" not in said.out + said.err


def test_problems_name_the_object_and_the_field_all_at_once_and_nothing_is_applied(
    furnished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = exported(furnished, capsys)
    content = json.loads(text)
    content["labels"].append({"key": "new", "value": "label"})
    content["sources"].append(content["sources"][0] | {"id": "z" * 22, "slug": "new", "metadataId": "unknown"})
    content["destinations"].append(content["destinations"][0] | {"id": "f" * 24, "sourceId": "z" * 22, "name": "N"})
    content["destinationFilters"][0]["if"] = "not a filter ("
    content["destinations"][0]["metadataId"] = "54521fd525e721e32a72ee91"
    assert run(furnished, "import", saved(json.dumps(content), tmp_path / "w.json"), "--yes") == 1
    told = capsys.readouterr().err
    assert "mainstem: source new: " in told
    assert "metadataId" in told
    assert "mainstem: destination N of new: depends on what could not be made\n" in told
    assert "mainstem: destination Hooks of site: metadataId cannot be changed" in told
    assert '"if"' in told
    assert exported(furnished, capsys) == text


def test_a_file_that_is_no_workspace_is_refused_with_its_fault(
    furnished: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    content = json.loads(exported(furnished, capsys))
    for broken, fault in (
        ("{", "is not JSON"),
        ("[]", "is no workspace"),
        (json.dumps(content | {"format": "other"}), '"format" must be'),
        (json.dumps(content | {"soures": []}), "unknown sections soures"),
        (json.dumps(content | {"sources": {}}), '"sources" must be a list'),
        (json.dumps(content | {"sources": [{"id": "x"}]}), "sources[0] has no slug"),
        (json.dumps(content | {"workspace": 1}), '"workspace" must have'),
    ):
        assert run(furnished, "import", saved(broken, tmp_path / "w.json")) == 1
        assert fault in capsys.readouterr().err


def test_several_workspaces_are_listed_and_commands_ask_which(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = new_folder(tmp_path / "data")
    assert run(folder, "create", "Acme & Söhne", "--slug", "acme", "--owner", "Eve@x.example") == 0
    secret = capsys.readouterr().out.strip()
    assert secret.startswith("mst_")
    assert run(folder, "list") == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()[1:]] == ["my-workspace", "acme"]
    assert main(["token", "list", *flags(folder)]) == 1
    told = capsys.readouterr().err
    assert told.endswith("mainstem: --workspace SLUG is needed; the workspaces are: my-workspace, acme\n")
    assert main(["user", "list", *flags(folder), "--workspace", "acme"]) == 0
    assert "eve@x.example" in capsys.readouterr().out
    assert main(["user", "list", *flags(folder), "--workspace", "other"]) == 1
    assert "there is no workspace other; there are: my-workspace, acme" in capsys.readouterr().err
    assert main(["audit", "verify", *flags(folder)]) == 0
    content = json.loads(exported(folder, capsys, "--workspace", "acme"))
    assert [each["slug"] for each in content["spaces"]] == ["dev", "prod"]
    assert [f"{each['key']}:{each['value']}" for each in content["labels"]] == ["environment:dev", "environment:prod"]


@pytest.mark.parametrize("slug", ["my-workspace", "Has Blanks", "-", "a--b"])
def test_a_slug_that_is_taken_or_malformed_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], slug: str
) -> None:
    folder = new_folder(tmp_path / "data")
    assert run(folder, "create", "Another", f"--slug={slug}") == 1
    assert "--slug" in capsys.readouterr().err
    assert run(folder, "list") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_what_concerns_the_whole_instance_asks_for_no_workspace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = new_folder(tmp_path / "data")
    assert run(folder, "create", "Acme") == 0
    leaked = saved(capsys.readouterr().out, tmp_path / "leaked.txt")
    assert main(["audit", "verify", *flags(folder)]) == 0
    assert main(["token", "scan", leaked, "--revoke", *flags(folder)]) == 1
    assert "is revoked" in capsys.readouterr().out
    assert main(["secrets", "rotate", *flags(folder)]) == 0
    assert main(["token", "list", *flags(folder), "--workspace", "acme"]) == 0
    assert "revoked" in capsys.readouterr().out
