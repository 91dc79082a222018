"""The Public API in process: every reply is held against the contract."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

import databases
from contract.validator import check_reply
from mainstem import public_api
from mainstem.model.ports import OAuthTokens, OutcomeCount, OutcomeQuery, OutcomeStore, UserCount
from mainstem.public_api import labels, workspaces
from mainstem.rest import tokens
from mainstem.rest.dispatch import Request
from mainstem.rest.grants import TOKEN, Resource, grant
from mainstem.rest.permissions import ResourceType
from mainstem.rest.roles import READERS, Role, find_role_by_name
from mainstem.rest.tokens import Access
from mainstem.settings import Settings
from mainstem.vault import Vault

START = dt.datetime(2026, 3, 10, 12, 0, tzinfo=dt.UTC)


class NoOutcomes:
    """An OutcomeStore before the first event."""

    def counts(self, query: OutcomeQuery) -> list[OutcomeCount]:
        return []

    def waiting(self, destination_id: str) -> dict[str, int]:
        return {}

    def api_calls(self, source_ids: Any, first_day: int, last_day: int) -> dict[tuple[str, int], int]:
        return {}

    def tracked_users(self, source_ids: Any, first_day: int, last_day: int) -> list[UserCount]:
        return []


class Reply(msgspec.Struct):
    """An answer, decoded."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def data(self) -> Any:
        assert self.status < 400, self.body
        return self.body["data"]

    @property
    def fields(self) -> list[str]:
        """Fields that the errors name."""
        return [each.get("field") for each in self.body["errors"]]

    @property
    def messages(self) -> list[str]:
        return [each["message"] for each in self.body["errors"]]


class Api:
    """An instance with one workspace, an owner token and a member token. Time stands still until `pass_time`."""

    def __init__(
        self,
        folder: Path,
        outcomes: OutcomeStore | None = None,
        settings: Settings | None = None,
        tokens: Callable[[Vault], OAuthTokens] | None = None,
    ) -> None:
        self.folder = folder
        self.database = databases.control(folder)
        self.database.migrate()
        self.vault = Vault(b"k" * 32)
        self.now = START
        settings = settings or Settings(rate_limits=False)
        store = outcomes or NoOutcomes()
        kept = tokens(self.vault) if tokens else None
        self.dispatcher = public_api.build(settings, self.database, self.vault, store, lambda: self.now, kept)
        with self.database.transaction(writes=True) as db:
            self.workspace = workspaces.create(db, "Acme", "acme", "owner@localhost", START)
            labels.add_default_labels(db, self.workspace.id)
            self.owner = self._token(db, Access.OWNER)
            self.member = self._token(db, Access.MEMBER)

    def _token(self, db: Any, access: Access) -> str:
        secret = tokens.new_secret()
        made = tokens.create(db, self.vault, self.workspace.id, f"{access} token", access, START, secret)
        if access is Access.MEMBER:
            for role in READERS:
                self._grant(db, made.id, role, Resource(self.workspace.id, ResourceType.WORKSPACE))
        return secret

    def _grant(self, db: Any, token_id: str, role: Role, *resources: Resource) -> None:
        grant(db, self.workspace.id, (TOKEN, token_id), role, resources)

    def member_with(self, role: str, *resources: Resource) -> str:
        """A fresh member token with one role, on the whole workspace unless told otherwise; "" gives none."""
        secret, found = tokens.new_secret(), find_role_by_name(role)
        with self.database.transaction(writes=True) as db:
            made = tokens.create(db, self.vault, self.workspace.id, role, Access.MEMBER, START, secret)
            if role:
                assert found is not None
                self._grant(db, made.id, found, *resources or [Resource(self.workspace.id, ResourceType.WORKSPACE)])
        return secret

    def pass_time(self, **span: float) -> None:
        """Let time go on: `pass_time(minutes=2)`."""
        self.now += dt.timedelta(**span)

    def call(
        self,
        route: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        raw: bytes | None = None,
    ) -> Reply:
        """`call("GET /sources?pagination.count=1")` with the owner's token unless told otherwise; "" sends none."""
        method, _, target = route.partition(" ")
        path, _, query = target.partition("?")
        sent = {"accept": "application/json", "content-type": "application/json"} | dict(headers or {})
        secret = self.owner if token is None else token
        if secret:
            sent.setdefault("authorization", f"Bearer {secret}")
        content = raw if raw is not None else b"" if body is None else msgspec.json.encode(body)
        answer = self.dispatcher.serve(Request(method, path, query, list(sent.items()), content))
        check_reply(method, path, answer.status, answer.headers["Content-Type"], answer.body)
        return Reply(answer.status, answer.headers, msgspec.json.decode(answer.body))

    def get(self, target: str, **options: Any) -> Reply:
        return self.call(f"GET {target}", **options)

    def post(self, target: str, body: Any = None, **options: Any) -> Reply:
        return self.call(f"POST {target}", body, **options)

    def put(self, target: str, body: Any = None, **options: Any) -> Reply:
        return self.call(f"PUT {target}", body, **options)

    def patch(self, target: str, body: Any = None, **options: Any) -> Reply:
        return self.call(f"PATCH {target}", body, **options)

    def delete(self, target: str, **options: Any) -> Reply:
        return self.call(f"DELETE {target}", **options)
