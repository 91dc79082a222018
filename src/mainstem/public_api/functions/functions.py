"""Create, read, change, deploy and delete functions.

Source functions run what was deployed by createFunctionDeployment; functions of the other kinds run the newest
code as soon as they are created or updated. Source: Public API reference, tag "Functions" (6 operations); product
guide, "Functions". Judgements: at most 256 Ki characters of code, 409 for a function in use, 422 for code that
does not parse, 400 for the 26th function and for the deployment of a function that deploys itself.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta
from sqlalchemy import Row, delete, insert, update

from mainstem.errors import BadRequest, Conflict, EngineUnavailable, InputInvalid, NotFound, SandboxUnavailable
from mainstem.public_api import workspaces
from mainstem.public_api.functions import function, settings, uses
from mainstem.public_api.functions.function import (
    ID_PREFIXES,
    Function,
    FunctionItem,
    FunctionOutput,
    ResourceType,
    function_of,
    function_versions,
    functions,
    one,
    record,
    visible,
)
from mainstem.public_api.functions.settings import Setting
from mainstem.public_api.functions.versions import add_version
from mainstem.public_api.labels import StatusOutput
from mainstem.rest import grants, permissions, rows
from mainstem.rest.ids import base58_id, hex_id
from mainstem.rest.operation import Call, Family
from mainstem.rest.pagination import Page, Pagination
from mainstem.rest.permissions import Needs
from mainstem.rest.wire import UNSET, Unset, Wire, given

api = Family("Functions", feature="Functions")
MAX_FUNCTIONS: Final = 25
MAX_NAME_CHARACTERS: Final = 120
MAX_CODE_CHARACTERS: Final = 256 * 1024
SOURCE_INSTANCE_PREFIX: Final = "sfn_"  # before the id of a source that is a function

Code = Annotated[str, Meta(min_length=1, max_length=MAX_CODE_CHARACTERS)]
DisplayName = Annotated[str, Meta(min_length=1, max_length=2 * MAX_NAME_CHARACTERS)]  # it may bear the suffix
Text = Annotated[str, Meta(max_length=4096)]
Definitions = Annotated[list[Setting], Meta(max_length=settings.MAX_SETTINGS)]


class CreateFunctionInput(Wire, frozen=True):
    """Body of createFunction."""

    code: Code
    display_name: DisplayName
    resource_type: ResourceType
    settings: Definitions | Unset | None = UNSET
    logo_url: Text | Unset | None = UNSET
    description: Text | Unset | None = UNSET


class UpdateFunctionInput(Wire, frozen=True):
    """Body of updateFunction. `settings` replace the former ones; `description` and `logo_url` null clear."""

    code: Code | Unset = UNSET
    display_name: DisplayName | Unset = UNSET
    settings: Definitions | Unset | None = UNSET
    logo_url: Text | Unset | None = UNSET
    description: Text | Unset | None = UNSET


class FunctionsQuery(Wire, frozen=True):
    """Query of listFunctions."""

    resource_type: ResourceType
    pagination: Page = Page()


class FunctionsOutput(Wire, frozen=True):
    """Reply of listFunctions."""

    functions: list[FunctionItem]
    pagination: Pagination


class Deployment(Wire, frozen=True):
    """How a deployment went."""

    status: Literal["SUCCESS"] = "SUCCESS"


class DeploymentOutput(Wire, frozen=True):
    """Reply of createFunctionDeployment."""

    function_deployment: Deployment = Deployment()


def check_code(code: str) -> None:
    """Raises InputInvalid naming line and column of the first syntax error, EngineUnavailable when nothing here can
    read JavaScript now."""
    from mainstem import sandbox  # brings much along; idle memory stays small without

    try:
        fault = sandbox.check(code)
    except SandboxUnavailable as error:
        raise EngineUnavailable(f"code cannot be checked: {error}") from error
    if fault is not None:
        where = f"line {fault.line}, column {fault.column}"
        raise InputInvalid([("code", f'"code" is not valid JavaScript: {fault.message} ({where})')])


def _check_sent_code(*arguments: Any) -> None:
    """Check the code that is sent, before anybody else has to wait for it: reading it takes a process of its own.
    Takes what the handlers take, the body last; raises what `check_code` does."""
    code = arguments[-1].code
    if code is not UNSET:
        check_code(code)


def _bare_name(call: Call, kind: str, name: str) -> str:
    """The name without the suffix that replies add, so that what was read can be sent again. Raises InputInvalid
    when it is too long."""
    suffix = function.suffix(workspaces.name_of(call.db, call.workspace_id))
    bare = name if kind == ResourceType.SOURCE else name.removesuffix(suffix) or name
    if len(bare) > MAX_NAME_CHARACTERS:
        limit = f"length must be less than or equal to {MAX_NAME_CHARACTERS} characters long"
        raise InputInvalid([("displayName", f'"displayName" {limit}')])
    return bare


def _output(call: Call, function_id: str) -> FunctionOutput:
    name = workspaces.name_of(call.db, call.workspace_id)
    row = one(call, function_id)
    found: Function = function_of(call, row, name)
    return FunctionOutput(function=msgspec.structs.replace(found, preview_webhook_url=uses.webhook_url(call, row)))


def _event(row: Row[Any], verb: str) -> str:
    """What the audit trail calls a change: "Source Function Created"."""
    kind = row.resource_type.replace("_", " ").title()
    return f"{kind} Function {verb}"


@api.operation("GET /functions", needs=Needs.FUNCTION_READ)
def list_functions(call: Call, query: FunctionsQuery) -> FunctionsOutput:
    """List Functions"""
    wanted = visible(call).where(functions.c.resource_type == query.resource_type).order_by(functions.c.seq)
    found, pagination = rows.page_of(call.db, wanted, query.pagination)
    name = workspaces.name_of(call.db, call.workspace_id)
    return FunctionsOutput(functions=[function.item_of(row, name) for row in found], pagination=pagination)


@api.operation("POST /functions", needs=Needs.FUNCTION_ADMIN, prepare=_check_sent_code)
def create_function(call: Call, body: CreateFunctionInput) -> FunctionOutput:
    """Create Function"""
    call.demand_everywhere(Needs.FUNCTION_ADMIN)
    kind = body.resource_type
    if kind not in ID_PREFIXES:
        raise InputInvalid([("resourceType", f'"resourceType" must be one of [{", ".join(ID_PREFIXES)}]')])
    name = _bare_name(call, kind, body.display_name)
    definitions = given(body.settings, None) or []
    settings.check_definitions(definitions)
    if len(call.db.execute(visible(call)).all()) >= MAX_FUNCTIONS:
        raise BadRequest(f"A workspace has at most {MAX_FUNCTIONS} functions.")
    call.prepared()
    function_id = ID_PREFIXES[kind] + (base58_id() if kind is ResourceType.SOURCE else hex_id())
    version_id = add_version(call, function_id, body.code)
    call.db.execute(
        insert(functions).values(
            id=function_id,
            workspace_id=call.workspace_id,
            resource_type=kind,
            catalog_id=function.new_catalog_id(),
            name=name,
            description=given(body.description, None),
            logo_url=given(body.logo_url, None),
            settings=msgspec.json.encode(definitions).decode(),
            created_at=call.now,
            created_by=call.token.id,
            latest_version=version_id,
        )
    )
    row = one(call, function_id)
    if kind is not ResourceType.SOURCE:
        function.deploy(call, row, version_id)
    record(call, _event(row, "Created"), function_id, name)
    return _output(call, function_id)


@api.operation("GET /functions/{functionId}", needs=Needs.FUNCTION_READ)
def get_function(call: Call, function_id: str) -> FunctionOutput:
    """Get Function"""
    return _output(call, function_id)


@api.operation("PATCH /functions/{functionId}", needs=Needs.FUNCTION_ADMIN, prepare=_check_sent_code)
def update_function(call: Call, function_id: str, body: UpdateFunctionInput) -> FunctionOutput:
    """Update Function"""
    row = one(call, function_id)
    changes = _changes(call, row, body)
    if changes:
        call.db.execute(update(functions).where(functions.c.id == row.id).values(changes))
        record(call, _event(row, "Modified"), row.id, changes.get("name", row.name))
    if "settings" in changes:
        uses.refit(call, row, before=function.settings_of(row), after=function.settings_of(one(call, row.id)))
    if changes.keys() & {"settings", "name"}:
        uses.touch_sources(call, row)
    latest = changes.get("latest_version", row.latest_version)
    if row.resource_type != ResourceType.SOURCE and latest != row.deployed_version:
        function.deploy(call, row, latest)
    return _output(call, function_id)


def _changes(call: Call, row: Row[Any], body: UpdateFunctionInput) -> dict[str, Any]:
    """The columns that `body` really changes; new code becomes a version."""
    wanted: dict[str, Any] = {"description": body.description, "logo_url": body.logo_url}
    if body.display_name is not UNSET:
        wanted["name"] = _bare_name(call, row.resource_type, body.display_name)
    if body.settings is not UNSET:
        definitions = body.settings or []
        settings.check_definitions(definitions)
        wanted["settings"] = msgspec.json.encode(definitions).decode()
    if body.code is not UNSET and body.code != function.code_of(call.db, call.vault, row.latest_version):
        call.prepared()
        wanted["latest_version"] = add_version(call, row.id, body.code)
    return {key: value for key, value in wanted.items() if value is not UNSET and value != getattr(row, key)}


@api.operation("POST /functions/{functionId}/deploy", needs=Needs.FUNCTION_ADMIN)
def create_function_deployment(call: Call, function_id: str) -> DeploymentOutput:
    """Create Function Deployment"""
    row = _deployable(call, function_id)
    function.deploy(call, row, row.latest_version)
    record(call, _event(row, "Deployed"), row.id, row.name)
    return DeploymentOutput()


def _deployable(call: Call, function_id: str) -> Row[Any]:
    """The source function of this id, or the one that the source behind SOURCE_INSTANCE_PREFIX is made of."""
    source_id = function_id.removeprefix(SOURCE_INSTANCE_PREFIX)
    row = uses.find_function_of_source(call, source_id) if source_id != function_id else one(call, function_id)
    if row is None:
        raise NotFound(rows.missing("Function", function_id))
    if row.resource_type != ResourceType.SOURCE:
        raise BadRequest("Only source functions are deployed by this call; others run the code of their last update.")
    return row


@api.operation("DELETE /functions/{functionId}", needs=Needs.FUNCTION_ADMIN)
def delete_function(call: Call, function_id: str) -> StatusOutput:
    """Delete Function"""
    row = one(call, function_id)
    used_by = uses.describe(call, row)
    if used_by:
        raise Conflict(f"The function is in use by {used_by}; remove what is listed first.")
    call.db.execute(delete(function_versions).where(function_versions.c.function_id == row.id))
    call.db.execute(delete(functions).where(functions.c.id == row.id))
    grants.delete_of_resource(call.db, permissions.ResourceType.FUNCTION, row.id)
    call.touch(function.published_id(row.id))
    record(call, _event(row, "Deleted"), row.id, row.name)
    return StatusOutput()
