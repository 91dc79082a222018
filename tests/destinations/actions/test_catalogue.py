from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract.validator import schema_validator
from mainstem.destinations.actions import catalogue
from mainstem.destinations.actions.catalogue import Definition
from public_api.actions import MAILER, definition, field, installed, write_catalogue
from public_api.client import Api

WEBHOOK, AMPLITUDE, SFTP = "614a3c7d791c91c41bae7599", "5f7dd6d21ad74f3842b1fc47", "6891e1a284d96219f601647b"
OPTIONS = [
    field("name", required=True),
    field("secret", "password", required=True),
    field("port", "integer"),
    field("ratio", "number"),
    field("on", "boolean"),
    field("region", choices=[{"label": "US", "value": "us"}, {"label": "EU", "value": "eu"}]),
    field("tags", multiple=True),
    field("more", "object"),
]


def described(**changes: Any) -> Definition:
    return msgspec.convert(definition(MAILER, "Mailer") | {"options": OPTIONS} | changes, Definition)


class TestSettings:
    @pytest.mark.parametrize(
        ("key", "value", "noun"),
        [
            ("name", 7, "a string"),
            ("secret", {}, "a string"),
            ("port", 1.5, "an integer"),
            ("port", True, "an integer"),
            ("ratio", "1", "a number"),
            ("on", "yes", "a boolean"),
            ("region", "au", "one of us, eu"),
            ("tags", ["a", 7], "a list of which each is a string"),
            ("more", [], "an object"),
        ],
    )
    def test_a_value_of_another_type_or_beyond_the_choices_is_a_fault(
        self, key: str, value: object, noun: str
    ) -> None:
        assert catalogue.faults(described(), {key: value}) == [
            (f"settings.{key}", f'"settings.{key}" must be {noun}')
        ]

    @pytest.mark.parametrize(
        "settings",
        [
            {},
            {
                "name": "a",
                "secret": "s",
                "port": 22,
                "ratio": 0.5,
                "on": False,
                "region": "eu",
                "tags": ["a"],
                "more": {},
            },
            {"name": "", "region": "", "port": None},
            {"ratio": 7, "tags": "one", "unheard-of": object()},
        ],
    )
    def test_what_fits_is_no_fault_and_neither_is_what_is_missing_or_unknown(self, settings: dict[str, Any]) -> None:
        assert catalogue.faults(described(), settings) == []

    @pytest.mark.parametrize(
        ("settings", "keys"),
        [
            ({}, ["name", "secret"]),
            ({"name": "", "secret": None}, ["name", "secret"]),
            ({"name": "a", "secret": "s"}, []),
        ],
    )
    def test_required_settings_that_are_not_there_are_named(self, settings: dict[str, Any], keys: list[str]) -> None:
        assert catalogue.missing(described(), settings) == keys


class TestReading:
    def test_nothing_is_installed_before_the_process_was_told_where(self) -> None:
        catalogue.use(None)
        assert catalogue.installed() == {}
        assert catalogue.find_entry(WEBHOOK) is None
        assert catalogue.find_actions(WEBHOOK) == {}

    def test_an_empty_folder_has_nothing_installed(self, tmp_path: Path) -> None:
        catalogue.use(tmp_path)
        try:
            assert catalogue.installed() == {}
        finally:
            catalogue.use(None)

    def test_an_installation_that_is_replaced_is_read_anew(self, tmp_path: Path) -> None:
        with installed(tmp_path):
            assert catalogue.find_definition(MAILER) is not None
            (tmp_path / "destinations").rename(tmp_path / "before")
            write_catalogue(tmp_path, definition(MAILER, "Renamed"))
            found = catalogue.find_definition(MAILER)
        assert found is not None
        assert found.name == "Renamed"

    def test_a_catalogue_in_the_form_of_another_version_does_not_count(self, tmp_path: Path) -> None:
        with installed(tmp_path):
            index = tmp_path / "destinations" / "catalogue" / "index.json"
            written = msgspec.json.decode(index.read_bytes())
            index.unlink()
            index.write_bytes(msgspec.json.encode(written | {"format": catalogue.FORMAT + 1}))
            assert catalogue.installed() == {}

    def test_an_id_is_never_a_path(self, tmp_path: Path) -> None:
        with installed(tmp_path):
            assert catalogue.find_entry("../catalogue/index") is None

    def test_defaults_are_the_fields_that_have_one(self) -> None:
        assert described().actions["send"].defaults == {"to": {"@path": "$.traits.email"}, "enable_batching": True}


class TestKnown:
    def test_every_destination_of_the_package_is_known_by_its_published_id(self) -> None:
        known = catalogue.known()
        assert len(known) == 214
        assert all(re.fullmatch("[0-9a-f]{24}", each) for each in known)
        assert known[WEBHOOK].name == "Webhook"
        assert known[WEBHOOK].secrets == ("sharedSecret",)

    def test_slugs_and_names_are_unique(self) -> None:
        known = catalogue.known().values()
        assert len({each.slug for each in known}) == len({each.name for each in known}) == len(known)


@pytest.mark.destinations
@pytest.mark.usefixtures("catalog")
class TestInstalled:
    def test_what_is_installed_is_what_is_known(self) -> None:
        assert catalogue.installed() == catalogue.known()

    def test_every_entry_has_the_published_shape(self) -> None:
        validator = schema_validator("DestinationMetadataV1")
        for metadata_id in catalogue.known():
            entry = catalogue.find_entry(metadata_id)
            assert entry is not None
            validator.validate(msgspec.json.decode(entry.metadata))

    def test_ids_of_actions_and_fields_are_unique_and_the_same_on_every_machine(self) -> None:
        entries = [catalogue.find_entry(each) for each in catalogue.known()]
        actions = [action for each in entries if each for action in msgspec.json.decode(each.metadata)["actions"]]
        ids = [each["id"] for action in actions for each in (action, *action["fields"])]
        assert len(set(ids)) == len(ids) > 6_000
        assert all(re.fullmatch("[1-9A-HJ-NP-Za-km-z]{22}", each) for each in ids)
        assert catalogue.find_actions(WEBHOOK)["send"].id == "7NHsBJpSJwjp6FAxe8xVrR"

    def test_every_preset_has_a_trigger_and_an_action_of_its_destination(self) -> None:
        definitions = [each for key in catalogue.known() if (each := catalogue.find_definition(key))]
        presets = [(each, preset) for each in definitions for preset in each.presets]
        assert len(presets) > 400
        for each, preset in presets:
            assert preset.trigger
            assert each.actions[preset.action_slug].id == preset.action_id

    def test_a_definition_says_what_delivery_needs(self) -> None:
        webhook, amplitude = catalogue.find_definition(WEBHOOK), catalogue.find_definition(AMPLITUDE)
        assert webhook is not None
        assert amplitude is not None
        send = webhook.actions["send"]
        assert (send.can_batch, send.batch_keys) == (True, ("url", "method", "headers"))
        assert (webhook.auth_scheme, webhook.has_refresh, webhook.options[0].type) == ("custom", False, "password")
        assert send.fields["url"].required
        assert not amplitude.actions["logEventV2"].can_batch
        assert amplitude.actions["logEventV2"].default_trigger == 'type = "track"'
        assert {each.key for each in amplitude.options if each.required} == {"apiKey", "secretKey"}

    def test_a_field_that_is_required_under_conditions_is_published_as_optional(self) -> None:
        sftp = catalogue.find_definition(SFTP)
        assert sftp is not None
        password = next(each for each in sftp.options if each.key == "sftp_password")
        assert not password.required
        assert password.required_if is not None

    def test_the_public_api_offers_all_of_them(self, tmp_path: Path) -> None:
        api = Api(tmp_path)
        listed = api.get("/catalog/destinations?pagination.count=1000").data["destinationsCatalog"]
        offered = {each["id"] for each in listed if each["status"] == "PUBLIC"}
        api.database.close()
        assert offered >= catalogue.known().keys()

    def test_little_of_it_is_kept_in_memory(self) -> None:
        for metadata_id in catalogue.known():
            catalogue.find_entry(metadata_id)
        assert catalogue._entry.cache_info().currsize == catalogue._KEPT
