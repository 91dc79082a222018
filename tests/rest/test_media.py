"""Which version a client gets."""

import pytest

from mainstem.errors import NotAcceptable, UnsupportedMediaType
from mainstem.rest.media import check_content_type, negotiate
from mainstem.rest.operation import ALPHA, V1, V1_ONLY

V = "application/vnd.segment.{}+json".format


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "application/*"])
def test_a_client_without_a_version_gets_the_most_stable_one(accept: str) -> None:
    assert negotiate(accept, V1) == ("v1", "application/json")
    assert negotiate(accept, ALPHA) == ("v1alpha", "application/json")


def test_a_vendor_type_gets_its_version_and_is_echoed() -> None:
    assert negotiate(V("v1beta"), V1) == ("v1beta", V("v1beta"))


def test_stable_beta_and_alpha_are_names_of_versions_too() -> None:
    assert negotiate(V("stable"), V1)[0] == "v1"
    assert negotiate(V("alpha"), ALPHA)[0] == "v1alpha"


def test_a_list_is_taken_by_quality_then_by_order() -> None:
    both = f"{V('v1')}, application/json"
    assert negotiate(both, V1) == ("v1", V("v1"))
    assert negotiate(f"{V('v1')};q=0.1, {V('v1alpha')}", V1)[0] == "v1alpha"
    assert negotiate(f"{V('v1')}, {V('v1alpha')}", ALPHA)[0] == "v1alpha"


@pytest.mark.parametrize("accept", [V("v2"), V("v1"), "text/html", "application/json;q=0"])
def test_what_the_operation_does_not_have_is_not_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        negotiate(accept, ALPHA)
    with pytest.raises(NotAcceptable):
        negotiate(V("v1beta"), V1_ONLY)


@pytest.mark.parametrize("sent", ["", "application/json", "application/json; charset=utf-8", V("v1alpha"), V("v1")])
def test_json_bodies_are_read_whatever_their_version(sent: str) -> None:
    check_content_type(sent)


@pytest.mark.parametrize("sent", ["text/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_other_bodies_are_unsupported(sent: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        check_content_type(sent)
