"""The browser library as it is served from the folder of packages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tracking_api.serving import SECOND_KEY, UNKNOWN_KEY, WRITE_KEY, Served, source

LIBRARY = b'try{window.analyticsWriteKey="__WRITE_KEY__"}catch(t){}' + b"var filler;" * 200
BUNDLE = b"self.webpackChunk=[1]"
HASHED = "schemaFilter.bundle.a6a77355d52c20e3a83d.js"
SCRIPT = f"/analytics.js/v1/{WRITE_KEY}/analytics.min.js"


def install(folder: Path, version: str, **more: bytes) -> Path:
    """Put a package where `mainstem destinations install` puts it, and lead the link there."""
    umd = folder / f"browser-{version}" / "node_modules" / "@segment" / "analytics-next" / "dist" / "umd"
    umd.mkdir(parents=True)
    (umd / "standalone.js").write_bytes(LIBRARY + version.encode())
    (umd / "index.js").write_bytes(BUNDLE + version.encode())
    (umd / "notes.txt").write_bytes(b"not for the world")
    (umd / "folder.js").mkdir()
    (umd.parent / "secret.js").write_bytes(b"not for the world")
    for name, content in more.items():
        (umd / name).write_bytes(content)
    link, new = folder / "browser", folder / f"new-{version}"
    new.symlink_to(f"browser-{version}")
    new.replace(link)
    return umd


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    folder = tmp_path / "packages"
    folder.mkdir()
    return folder


@pytest.fixture
def served(serve: Callable[..., Served], packages: Path) -> Served:
    install(packages, "1", **{HASHED: BUNDLE})
    return serve(packages=packages)


@pytest.mark.parametrize("name", ["analytics.min.js", "platform/analytics.min.js"])
@pytest.mark.parametrize("key", [WRITE_KEY, SECOND_KEY])
def test_the_library_has_the_write_key_in_it(served: Served, name: str, key: str) -> None:
    answer = served.client.get(f"/analytics.js/v1/{key}/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert f'window.analyticsWriteKey="{key}"' in answer.text
    assert "__WRITE_KEY__" not in answer.text
    assert answer.text.endswith("1")


def test_a_line_before_it_tells_where_it_came_from_and_the_rest_is_as_it_was(served: Served) -> None:
    line, _, library = served.client.get(SCRIPT).content.partition(b"\n")
    assert b"a._cdn=p[1]" in line
    assert library == LIBRARY.replace(b"__WRITE_KEY__", WRITE_KEY.encode()) + b"1"


def test_any_website_may_load_it_and_it_is_packed_and_tagged(served: Served) -> None:
    answer = served.client.get(SCRIPT, headers={"Origin": "https://shop.example", "Accept-Encoding": "gzip"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["cache-control"] == "public, max-age=0, must-revalidate"
    again = served.client.get(SCRIPT, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_head_has_the_headers_alone(served: Served) -> None:
    got, head = served.client.get(SCRIPT), served.client.head(SCRIPT)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"] == got.headers["etag"]


def test_a_bundle_whose_name_holds_its_hash_may_be_kept_for_ever(served: Served) -> None:
    answer = served.client.get(f"/analytics-next/bundles/{HASHED}")
    assert (answer.status_code, answer.content) == (200, BUNDLE)
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["access-control-allow-origin"] == "*"
    other = served.client.get("/analytics-next/bundles/index.js")
    assert (other.status_code, other.content) == (200, BUNDLE + b"1")
    assert other.headers["cache-control"] == "public, max-age=0, must-revalidate"


@pytest.mark.parametrize(
    "name",
    [
        "other.js",
        "notes.txt",
        "folder.js",
        "..",
        "%2e%2e",
        "..%5csecret.js",
        "%2e%2e%2fsecret.js",
        "index.js%00",
        "é.js",
    ],
)
def test_what_is_no_file_of_the_library_is_not_there(served: Served, name: str) -> None:
    answer = served.client.get(f"/analytics-next/bundles/{name}")
    assert answer.status_code == 404
    assert b"not for the world" not in answer.content


@pytest.mark.parametrize("key", [UNKNOWN_KEY, "x", "%22%3balert(1)"])
def test_for_an_unknown_key_there_is_none(served: Served, key: str) -> None:
    answer = served.client.get(f"/analytics.js/v1/{key}/analytics.min.js")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", [SCRIPT, "/analytics-next/bundles/index.js"])
def test_without_the_package_it_is_said_what_to_install(
    serve: Callable[..., Served], packages: Path, path: str
) -> None:
    served = serve(packages=packages)
    answer = served.client.get(path)
    assert answer.status_code == 404
    assert "mainstem destinations install" in answer.text
    install(packages, "1")
    assert served.client.get(path).status_code == 200


def test_another_version_is_served_at_once_and_pages_that_began_with_the_old_one_go_on(
    served: Served, packages: Path
) -> None:
    before = served.client.get(SCRIPT)
    newer = "tsub-middleware.bundle.0123456789abcdef0123.js"
    install(packages, "2", **{newer: b"new"})
    after = served.client.get(SCRIPT)
    assert (before.text[-1], after.text[-1]) == ("1", "2")
    assert before.headers["etag"] != after.headers["etag"]
    assert served.client.get("/analytics-next/bundles/index.js").text[-1] == "2"
    assert served.client.get(f"/analytics-next/bundles/{HASHED}").content == BUNDLE
    assert served.client.get(f"/analytics-next/bundles/{newer}").content == b"new"


def test_of_many_write_keys_only_some_scripts_are_remembered(served: Served) -> None:
    keys = [f"{number:032d}" for number in range(40)]
    served.snapshots.publish(source("many", *keys))
    for key in (*keys, keys[0]):
        assert key in served.client.get(f"/analytics.js/v1/{key}/analytics.min.js").text
