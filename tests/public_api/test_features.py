"""Features that an operator switches off: their operations are refused, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from mainstem import public_api
from mainstem.errors import SettingsError
from mainstem.settings import Settings
from public_api.client import Api
from public_api.connections import new_source


def test_a_feature_that_is_off_is_refused_by_name_and_the_others_work(tmp_path: Path) -> None:
    api = Api(tmp_path, settings=Settings(rate_limits=False, features_off=("Protocols", "Spaces")))
    reply = api.post("/tracking-plans", {"name": "Plan", "type": "LIVE"})
    assert (reply.status, reply.messages) == (403, ["This workspace does not have the feature Protocols."])
    assert [api.get(path).status for path in ("/tracking-plans", "/transformations", "/spaces")] == [403] * 3
    assert [api.get(f"/functions?resourceType={kind}").status for kind in ("SOURCE", "DESTINATION")] == [200] * 2
    new_source(api)
    api.database.close()


def test_what_is_not_a_feature_cannot_be_switched_off() -> None:
    public_api.check_features(Settings(features_off=("Functions", "Live Plugins")))
    with pytest.raises(SettingsError, match="there is no feature protocols; there are Destination Subscriptions"):
        public_api.check_features(Settings(features_off=("protocols",)))
