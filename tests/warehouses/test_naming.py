from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mainstem.warehouses.naming import snake_case

PUBLISHED = {
    "Order Completed": "order_completed",
    "inviteYourCustomers": "invite_your_customers",
    "sample___text": "sample_text",
    "_id": "id",
    "f_pX9": "f_p_x9",
    "2FA Enabled": "2fa_enabled",
    "iPhone14Pro": "i_phone14_pro",
    "FOO:BAR$BAZ": "foo_bar_baz",
    "café au lait": "caf_au_lait",
    "userID": "user_id",
    "samPLE text": "sam_ple_text",
    "createdAtUTC": "created_at_utc",
    "trailing_": "trailing",
    "p_z9Rg": "p_z9_rg",
    "Enabled 2FA": "enabled_2fa",
    "sample2Text": "sample2_text",
    "$revenue": "revenue",
    "注文": "",
    "HTMLParser": "htmlparser",
    "CStringRef": "cstring_ref",
    "camelCASEString": "camel_casestring",
    "edf_6N": "edf_6n",
    "THE5r": "the5r",
    "5test": "5test",
    "5TEst": "5test",
    "_5TEst": "5test",
    "SAMPLE 2 TEXT": "sample_2_text",
    "something.com": "something_com",
}


@pytest.mark.parametrize(("name", "column"), PUBLISHED.items(), ids=PUBLISHED)
def test_a_name_becomes_the_published_one(name: str, column: str) -> None:
    assert snake_case(name) == column


@given(st.text())
def test_what_became_of_a_name_stays_as_it_is(name: str) -> None:
    column = snake_case(name)
    assert snake_case(column) == column
    assert set(column) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
    assert column.strip("_") == column
    assert "__" not in column
