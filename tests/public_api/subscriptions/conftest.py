"""A destination with actions, and what is needed of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from public_api.actions import SEND, installed, new_mailer
from public_api.client import Api, Reply
from public_api.connections import new_database, new_model, new_source

Create = Callable[..., Reply]


@pytest.fixture(autouse=True)
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("packages")
    with installed(folder):
        yield folder


@pytest.fixture
def source_id(api: Api) -> str:
    return new_source(api)


@pytest.fixture
def destination_id(api: Api, source_id: str) -> str:
    return new_mailer(api, source_id)


@pytest.fixture
def model_id(api: Api) -> str:
    return new_model(api, new_database(api))


@pytest.fixture
def url(destination_id: str) -> str:
    return f"/destinations/{destination_id}/subscriptions"


@pytest.fixture
def create(api: Api, url: str) -> Create:
    """createDestinationSubscription for a mapping that works, unless told otherwise."""

    def post(**more: Any) -> Reply:
        body = {
            "name": "Send",
            "actionId": SEND,
            "trigger": 'type = "track"',
            "enabled": True,
            "settings": {"subject": {"@template": "Hello {{properties.name}}"}},
        }
        return api.post(url, body | more)

    return post
