"""Public files: tags, packing, and what is not there."""

from __future__ import annotations

import gzip

import pytest

from mainstem.tracking_api.files import CHECKED_EACH_TIME, PublicFile, missing
from mainstem.tracking_api.requests import Request

BODY = b"console.log('hello')\n" * 100


def file(body: bytes = BODY) -> PublicFile:
    return PublicFile(body, "text/javascript", CHECKED_EACH_TIME)


def asked(**headers: str) -> Request:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("GET", "/", "", names, "", "https", b"")


def test_a_file_comes_with_its_type_its_tag_and_how_long_it_is_good_for() -> None:
    answer = file().answer(asked())
    assert (answer.status, answer.body, answer.for_any_origin) == (200, BODY, True)
    headers = dict(answer.headers)
    assert headers["content-type"] == "text/javascript"
    assert headers["cache-control"] == CHECKED_EACH_TIME
    assert headers["etag"] == file().tag != file(b"x").tag
    assert headers["vary"] == "Accept-Encoding"
    assert headers["x-content-type-options"] == "nosniff"
    assert "content-encoding" not in headers


@pytest.mark.parametrize("known", ["{tag}", "{strong}", '"other", {tag}', "*", ' "a" ,{strong} '])
def test_who_has_the_file_gets_no_body(known: str) -> None:
    tag = file().tag
    answer = file().answer(asked(if_none_match=known.format(tag=tag, strong=tag.removeprefix("W/"))))
    assert (answer.status, answer.body) == (304, b"")
    assert dict(answer.headers)["etag"] == tag


@pytest.mark.parametrize("known", ['"other"', 'W/"other"', "", "nonsense", '""'])
def test_who_has_another_gets_this_one(known: str) -> None:
    assert file().answer(asked(if_none_match=known)).status == 200


@pytest.mark.parametrize("accepted", ["gzip", "br, gzip;q=0.5", "deflate,GZIP", "gzip; q=1.0, *;q=0"])
def test_a_long_file_is_packed_for_who_reads_that(accepted: str) -> None:
    answer = file().answer(asked(accept_encoding=accepted))
    assert dict(answer.headers)["content-encoding"] == "gzip"
    assert gzip.decompress(answer.body) == BODY
    assert len(answer.body) < len(BODY) / 5


@pytest.mark.parametrize("accepted", ["", "br", "identity", "gzip;q=0", "gzip; q=0.0", "x-gzipped"])
def test_it_is_not_packed_for_others(accepted: str) -> None:
    assert file().answer(asked(accept_encoding=accepted)).body == BODY


def test_it_is_packed_once() -> None:
    one = file()
    first, second = (one.answer(asked(accept_encoding="gzip")).body for _ in range(2))
    assert first is second


def test_a_short_file_is_sent_as_it_is() -> None:
    assert file(b"short").answer(asked(accept_encoding="gzip")).body == b"short"


def test_what_is_missing_is_said_in_a_sentence_and_not_kept() -> None:
    answer = missing("There is none.")
    assert (answer.status, answer.body) == (404, b"There is none.")
    assert dict(answer.headers)["cache-control"] == "no-store"
