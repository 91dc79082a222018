"""Libraries: bundled from packages, given to the functions that use them, and told apart from those that are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mainstem.errors import InstallFailed
from mainstem.packages import install
from mainstem.sandbox import Limits, Sandbox, libraries
from mainstem.sandbox.libraries import BUNDLED, Libraries, bundle_libraries
from sandbox.running import SMALL, call, code, sandbox, value

FILES = {
    "lodash/package.json": {"main": "lodash.js"},
    "lodash/lodash.js": "// require('stripe')\n"
    "exports.chunk = require('./lib/chunk'); exports.twice = require('twice');",
    "lodash/lib/chunk.js": "const data = require('../data.json'); module.exports = (list) => [list, data];",
    "lodash/data.json": {"a": 1},
    "twice/package.json": {
        "exports": {"import": "./index.mjs", "module-sync": "./index.mjs", "default": "./index.js"}
    },
    "twice/index.mjs": "export default 1;",
    "twice/index.js": "const { createHash } = require('node:crypto'), { inherits } = require('util');\n"
    "exports.hash = (x) => createHash('md5').update(x).digest('hex') + typeof inherits + typeof process.env;",
    "uuidv5/package.json": {"main": "index.js"},
    "uuidv5/index.js": "require('./other').seen = module; module.exports = (a) => a + '5';",
    "uuidv5/other.js": "exports.back = require('./index');",
    "broken/package.json": {"main": "index.js"},
    "broken/index.js": "throw new Error('it does not load');",
}


@pytest.fixture
def node_modules(tmp_path: Path) -> Path:
    folder = tmp_path / "node_modules"
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


@pytest.fixture
def bundled(node_modules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(libraries, "BUNDLED", {"_": "lodash", "uuidv5.uuidv5": "uuidv5", "broken": "broken"})
    bundle_libraries(node_modules, tmp_path / "out")
    return tmp_path / "out"


async def ended(box: Sandbox, source: str) -> object:
    return value(await call(box, code(source)))


async def test_a_bundle_holds_all_that_a_package_requires(bundled: Path) -> None:
    box = Sandbox(Limits(), libraries=bundled)
    try:
        chunk = "function onTrack() { return _.chunk([1]); }"
        assert await ended(box, chunk) == [[1], {"a": 1}]
        hashed = "function onTrack() { return _.twice.hash('x'); }"
        assert await ended(box, hashed) == "9dd4e461268c8034f5c8564e155c67a6functionobject"
        assert await ended(box, "const onTrack = () => uuidv5.uuidv5('a');") == "a5"
    finally:
        await box.close()


async def test_a_library_that_does_not_load_is_bad_code(bundled: Path) -> None:
    box = Sandbox(Limits(), libraries=bundled)
    try:
        end = await call(box, code("function onTrack() { return broken; }"))
    finally:
        await box.close()
    assert (end.how, end.message) == ("bad_code", "it does not load")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("const chunk = _.chunk; function onTrack() {}", "the library _ is not installed: `mainstem destinations"),
        ("function onTrack() { return moment(); }", "the library moment is not installed: `mainstem destinations"),
        ("async function onTrack() { await null; new AWS.S3(); }", "the library AWS is not among the libraries"),
        ("function onTrack() { twilio('x'); }", "makes connections of its own: use fetch"),
    ],
)
async def test_a_library_that_is_not_here_is_bad_code_that_says_what_to_do(source: str, message: str) -> None:
    async with sandbox(SMALL) as box:
        end = await call(box, code(source))
    assert end.how == "bad_code"
    assert message in end.message


async def test_a_name_that_is_not_the_library_is_left_alone() -> None:
    async with sandbox(SMALL) as box:
        assert await ended(
            box, "const moment = 1, xml = () => 2; function onTrack() { return [moment, xml()]; }"
        ) == [1, 2]
        assert await ended(box, "function onTrack(e) { return [{ stripe: 1 }.stripe, 'AWS']; }") == [1, "AWS"]
        assert await ended(box, "_ = 5; function onTrack() { return _; }") == 5


def test_only_what_occurs_in_the_code_is_read(bundled: Path) -> None:
    found = Libraries(bundled).used_by("x._ = a_ + $_; uuidv5.uuidv5('a')")
    assert [each.path for each in found.scripts] == ["uuidv5.uuidv5"]
    assert found.missing == {}


def test_a_library_that_is_installed_later_is_found_then(bundled: Path, tmp_path: Path) -> None:
    later = tmp_path / "later"
    known = Libraries(later)
    assert "_" in known.used_by("_.chunk()").missing
    bundled.rename(later)
    assert [each.path for each in known.used_by("_.chunk()").scripts] == ["_"]


def test_a_package_that_is_missing_fails_the_installation(node_modules: Path, tmp_path: Path) -> None:
    with pytest.raises(InstallFailed, match="moment-timezone"):
        bundle_libraries(node_modules, tmp_path / "out")


def test_every_library_comes_from_a_package_that_is_pinned_and_locked() -> None:
    folder = Path(install.__file__).parent / "sets" / "functions"
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]
    locked = json.loads((folder / "deno.lock").read_text())["specifiers"]
    packages = {entry.removeprefix("./").partition("/")[0] for entry in BUNDLED.values()}
    assert packages == set(wanted)
    assert locked == {f"npm:{name}@{version}": version for name, version in wanted.items()}
