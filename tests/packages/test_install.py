from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from mainstem.errors import InstallFailed
from mainstem.packages import install as module
from mainstem.packages.install import Installed, Step, digest_of, find_installed, install, is_current
from mainstem.sandbox.deno import find_deno
from packages.registry import Registry

NAME = "greetings"


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with Registry() as each:
        yield each


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Variables of somebody whose registry is `registry`; NAME is a set of it."""
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: os.environ[name] for name in ("PATH",)}
    variables = {**kept, "HOME": str(home), "DENO_DIR": str(tmp_path / "cache"), "NPM_CONFIG_REGISTRY": registry.url}
    registry.write_set(tmp_path / "sets" / NAME, variables)
    monkeypatch.setattr(module, "_set", lambda name: tmp_path / "sets" / name)
    return variables


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "packages"


def installed(folder: Path, environment: dict[str, str], step: Step | None = None) -> Installed:
    return install(NAME, folder, find_deno(), environment, step=step, progress=False)


def left_over(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir() if each.name.startswith(".installing"))


class TestInstallation:
    def test_what_the_lock_names_is_there_and_the_marker_says_so(
        self, folder: Path, environment: dict[str, str]
    ) -> None:
        assert find_installed(NAME, folder) is None
        marker = installed(folder, environment)
        assert find_installed(NAME, folder) == marker
        assert is_current(NAME, folder)
        assert marker.packages == {"greeting": "1.0.0"}
        package = folder / NAME / "node_modules" / "greeting"
        assert (package / "index.js").read_text() == "module.exports = 'hello'\n"
        assert left_over(folder) == []

    def test_the_folder_may_be_named_from_where_one_is(
        self, tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        seen = []
        installed(Path("here/packages"), environment, Step(lambda place: seen.append(place.is_absolute())))
        assert seen == [True]
        assert (tmp_path / "here" / "packages" / NAME / "node_modules" / "greeting" / "index.js").is_file()

    def test_what_only_developers_of_the_package_need_is_left_out(
        self, folder: Path, environment: dict[str, str]
    ) -> None:
        marker = installed(folder, environment)
        modules = folder / NAME / "node_modules"
        assert sorted(os.listdir(modules / "greeting")) == ["danger.js", "index.js", "package.json"]
        plain = [each for each in modules.rglob("*") if each.is_file() and not each.is_symlink()]
        assert (marker.files, marker.size_bytes) == (len(plain), sum(each.stat().st_size for each in plain))

    def test_no_script_of_a_package_is_run(self, folder: Path, environment: dict[str, str]) -> None:
        installed(folder, environment)
        assert not list(folder.rglob("ran"))

    def test_the_last_step_sees_the_packages_before_anybody_else_does(
        self, folder: Path, environment: dict[str, str]
    ) -> None:
        seen = []

        def run(place: Path) -> None:
            seen.append((place / "node_modules" / "greeting" / "index.js").is_file())
            assert not (folder / NAME).exists()
            (place / "made").write_text("by the step")

        installed(folder, environment, Step(run, "1"))
        assert seen == [True]
        assert (folder / NAME / "made").read_text() == "by the step"


class TestRegistries:
    def test_npmrc_names_the_registry_and_its_token(
        self, folder: Path, environment: dict[str, str], registry: Registry
    ) -> None:
        host = registry.url.removeprefix("http:")
        Path(environment["HOME"], ".npmrc").write_text(f"registry={registry.url}\n{host}:_authToken=t0k3n\n")
        del environment["NPM_CONFIG_REGISTRY"]
        installed(folder, environment)
        assert ("/greeting/-/greeting-1.0.0.tgz", "Bearer t0k3n") in registry.requests

    def test_the_variable_may_be_spelled_as_npm_spells_it(
        self, folder: Path, environment: dict[str, str], registry: Registry
    ) -> None:
        environment["npm_config_registry"] = environment.pop("NPM_CONFIG_REGISTRY")
        installed(folder, environment)
        assert [path for path, _ in registry.requests if path.endswith(".tgz")] == ["/greeting/-/greeting-1.0.0.tgz"]


class TestFailure:
    def test_a_package_that_is_not_what_the_lock_says_is_refused(
        self, folder: Path, environment: dict[str, str], registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        forged = bytearray(registry.tarball)
        forged[4:8] = b"\1\2\3\4"  # the time in the archive's head
        monkeypatch.setattr(registry, "tarball", bytes(forged))
        with pytest.raises(InstallFailed, match=r"(?i)integrity|checksum"):
            installed(folder, environment)
        assert find_installed(NAME, folder) is None
        assert left_over(folder) == []

    def test_a_registry_that_is_not_there_is_named(
        self, folder: Path, environment: dict[str, str], unused_tcp_port: int
    ) -> None:
        environment["NPM_CONFIG_REGISTRY"] = f"http://127.0.0.1:{unused_tcp_port}/"
        with pytest.raises(InstallFailed, match=str(unused_tcp_port)):
            installed(folder, environment)

    def test_a_lock_that_does_not_fit_the_set_is_refused(
        self, folder: Path, environment: dict[str, str], tmp_path: Path
    ) -> None:
        (tmp_path / "sets" / NAME / "package.json").write_text(json.dumps({"dependencies": {"greeting": "2.0.0"}}))
        with pytest.raises(InstallFailed):
            installed(folder, environment)

    def test_a_step_that_fails_leaves_what_was_there(self, folder: Path, environment: dict[str, str]) -> None:
        before = installed(folder, environment)

        def fail(_: Path) -> None:
            raise InstallFailed("the step failed")

        with pytest.raises(InstallFailed, match="the step failed"):
            installed(folder, environment, Step(fail, "2"))
        assert find_installed(NAME, folder) == before
        assert left_over(folder) == []

    def test_what_an_interrupted_installation_left_is_cleared_away(
        self, folder: Path, environment: dict[str, str]
    ) -> None:
        (folder / f".installing-{NAME}-x" / "node_modules").mkdir(parents=True)
        (folder / f".installing-{NAME}-x" / module.MARKER).write_text("{}")
        assert find_installed(NAME, folder) is None
        installed(folder, environment)
        assert left_over(folder) == []

    def test_two_installations_do_not_get_in_each_others_way(self, folder: Path, environment: dict[str, str]) -> None:
        folder.mkdir()
        with (folder / ".lock").open("w") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            with pytest.raises(InstallFailed, match="under way"):
                installed(folder, environment)
        installed(folder, environment)


class TestUpgrade:
    def test_another_lock_or_another_step_makes_what_is_installed_out_of_date(
        self, folder: Path, environment: dict[str, str], tmp_path: Path
    ) -> None:
        step = Step(lambda _: None, "1")
        installed(folder, environment, step)
        assert is_current(NAME, folder, step)
        assert not is_current(NAME, folder, Step(step.run, "2"))
        lock = tmp_path / "sets" / NAME / "deno.lock"
        lock.write_text(lock.read_text() + "\n")
        assert not is_current(NAME, folder, step)

    def test_a_process_that_runs_in_the_former_set_keeps_it_until_the_next(
        self, folder: Path, environment: dict[str, str]
    ) -> None:
        installed(folder, environment, Step(lambda _: None, "1"))
        first = (folder / NAME).resolve()
        installed(folder, environment, Step(lambda _: None, "2"))
        assert first.is_dir()
        assert (folder / NAME).resolve() != first
        installed(folder, environment, Step(lambda _: None, "3"))
        assert not first.exists()

    def test_the_same_may_be_installed_again(self, folder: Path, environment: dict[str, str]) -> None:
        marker = installed(folder, environment)
        shutil.rmtree(folder / NAME / "node_modules" / ".deno")
        assert installed(folder, environment) == marker
        assert (folder / NAME / "node_modules" / "greeting" / "index.js").is_file()

    def test_other_sets_are_left_alone(self, folder: Path, environment: dict[str, str]) -> None:
        (folder / "others-1").mkdir(parents=True)
        (folder / ".installing-others-1").mkdir()
        installed(folder, environment)
        assert {"others-1", ".installing-others-1"} <= {each.name for each in folder.iterdir()}


class TestSets:
    SETS = files("mainstem.packages") / "sets"

    @pytest.fixture(params=["destinations", "browser", "functions"])
    def name(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.undo()
        return str(request.param)

    def test_a_lock_holds_a_checksum_of_each_package_and_no_registry(self, name: str) -> None:
        text = (self.SETS / name / "deno.lock").read_text()
        assert "://" not in text
        assert all(each["integrity"].startswith("sha512-") for each in json.loads(text)["npm"].values())

    def test_a_set_asks_for_exact_versions_and_the_lock_knows_it(self, name: str) -> None:
        manifest = json.loads((self.SETS / name / "package.json").read_text())
        wanted = {f"npm:{package}@{version}" for package, version in manifest["dependencies"].items()}
        assert wanted <= json.loads((self.SETS / name / "deno.lock").read_text())["specifiers"].keys()
        assert len(digest_of(name)) == 64

    def test_destinations_come_without_the_packages_that_break_them(self) -> None:
        locked = json.loads((self.SETS / "destinations" / "deno.lock").read_text())["npm"]
        found = [each for each in locked if each.startswith(("fast-uri@", "@aws-sdk/client-kinesis@"))]
        assert found == ["@aws-sdk/client-kinesis@3.970.0", "fast-uri@3.1.5"]
