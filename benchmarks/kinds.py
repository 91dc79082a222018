"""A destination of each kind that there is, towards one URL: a webhook, a function, and one of Segment's package."""

from __future__ import annotations

import os
from pathlib import Path

from instance import WEBHOOKS, Instance

WEBHOOK, FUNCTION, ACTIONS = "webhook", "function", "actions"
PACKAGES = Path(__file__).parents[1] / ".packages"
ACTIONS_WEBHOOK = "614a3c7d791c91c41bae7599"
ALPHA = "application/vnd.segment.v1alpha+json"
CODE = """
async function onTrack(event, settings) {
  if (settings.url === 'loop') for (;;);
  let answer
  try {
    answer = await fetch(settings.url, { method: 'POST', body: JSON.stringify(event) })
  } catch (error) {
    throw new RetryError(error.message)
  }
  if (answer.status >= 500) throw new RetryError('not now')
}
"""
SETTING = {"name": "url", "label": "URL", "description": "d", "type": "STRING", "required": True, "sensitive": False}


def installed() -> tuple[str, ...]:
    """The kinds that can be measured here: the last needs `mainstem destinations install --packages .packages`."""
    os.environ.setdefault("MAINSTEM_PACKAGES", str(PACKAGES))
    is_there = (Path(os.environ["MAINSTEM_PACKAGES"]) / "destinations" / "catalogue" / "index.json").is_file()
    return (WEBHOOK, FUNCTION, ACTIONS) if is_there else (WEBHOOK, FUNCTION)


def connect(running: Instance, source_id: str, kind: str, url: str) -> str:
    """Give a source one more destination, of this kind; its id. A function whose URL is "loop" loops for ever."""
    if kind == WEBHOOK:
        return _destination(running, source_id, WEBHOOKS, {"hooks": [{"hook": url}]})
    if kind == FUNCTION:
        body = {"code": CODE, "displayName": "Posts", "resourceType": "DESTINATION", "settings": [SETTING]}
        function = running.call("POST", "/functions", body)["function"]
        return _destination(running, source_id, function["catalogId"], {"url": url})
    destination_id = _destination(running, source_id, ACTIONS_WEBHOOK, {})
    made = running.call("GET", f"/destinations/{destination_id}")["destination"]
    action_id = next(each["id"] for each in made["metadata"]["actions"] if each["slug"] == "send")
    mapping = {"url": url, "method": "POST", "data": {"@path": "$."}, "enable_batching": False}
    body = {"name": "M", "actionId": action_id, "trigger": 'type = "track"', "enabled": True, "settings": mapping}
    running.call("POST", f"/destinations/{destination_id}/subscriptions", body, ALPHA)
    return destination_id


def _destination(running: Instance, source_id: str, metadata_id: str, settings: object) -> str:
    body = {"sourceId": source_id, "metadataId": metadata_id, "settings": settings, "enabled": True}
    return str(running.call("POST", "/destinations", body)["destination"]["id"])
