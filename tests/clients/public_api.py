"""Speaks to a Public API through the official Python SDK, one call a line.

Usage: python public_api.py BASE_URL, with the access token in the variable TOKEN.
Reads  {"operation": "listSources", "path": [], "query": {"pagination": {"count": 2}}, "body": {…}}
Prints {"status": 200, "body": {…}} or {"status": 404, "errors": […], "decoded": true}.
`decoded` says that the SDK itself made its typed error out of the answer.

The SDK is the strict one: it validates each reply against its models, required keys and enums included.
It is on no package registry, so the Python that runs this is the caller's (PUBLIC_API_PYTHON).
"""

import inspect
import json
import os
import re
import sys
from typing import Any

import segment_public_api as sdk  # type: ignore[import-not-found]


def snake_case(name: str) -> str:
    """`getDailyPerSourceMTUUsage` is `get_daily_per_source_mtu_usage` in Python."""
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z\d])([A-Z])", r"\1_\2", name).lower()


def find_operation(client: Any, name: str) -> Any:
    """The method of whichever API class has the operation."""
    for each in vars(sdk).values():
        if inspect.isclass(each) and each.__name__.endswith("Api") and hasattr(each, name):
            return getattr(each(client), name)
    raise LookupError(f"the SDK has no operation {name}")


def arguments(operation: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """What the caller gave, under the names of the SDK's parameters."""
    names = [name for name in inspect.signature(operation).parameters if not name.startswith("_")]
    given = {snake_case(name): value for name, value in asked["query"].items()}
    if "body" in asked:
        given[next(name for name in names if name.endswith("_input"))] = asked["body"]
    given.update(zip([name for name in names if name not in given], asked["path"], strict=False))
    return given


def perform(client: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """Call the operation and show what the SDK made of the reply."""
    operation = find_operation(client, snake_case(asked["operation"]) + "_with_http_info")
    try:
        reply = operation(**arguments(operation, asked))
        body = None if reply.data is None else json.loads(reply.data.to_json())
        return {"status": reply.status_code, "body": body, "decoded": body is not None}
    except sdk.ApiException as refused:
        return {
            "status": refused.status,
            "errors": json.loads(refused.body)["errors"],
            "decoded": isinstance(refused.data, sdk.RequestErrorEnvelope),
        }


def main() -> None:
    """Answer each line."""
    configuration = sdk.Configuration(host=sys.argv[1], access_token=os.environ["TOKEN"])
    with sdk.ApiClient(configuration) as client:
        for line in sys.stdin:
            try:
                answer = perform(client, json.loads(line))
            except Exception as error:  # noqa: BLE001 - whatever the SDK raises is the journey's to judge
                answer = {"failure": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
