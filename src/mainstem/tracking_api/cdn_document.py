"""What the settings say that browser and mobile libraries load: made of the published configuration of a source.

They are public, so they hold names and switches and nothing of what destinations are set to. No destination runs in
the browser here (device mode): all are listed as ones that the server sends to, there are no remote plugins, and no
routing rules, which are the filters of destinations that run in the browser. What libraries call edge function is the
live plugin of the source.

Source: what the published client libraries read; the reference does not describe the document. Product guide,
"Protocols", schema configuration: unplanned events are blocked on websites, but not on devices. Judgements: what is
listed for which platform, the settings of a source that are passed on, and how a deleted live plugin is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from mainstem.model.snapshot import PlanConfig, Snapshot, SourceConfig, live_plugin_path
from mainstem.tracking_api.answers import JSON
from mainstem.tracking_api.files import CHECKED_EACH_TIME, PublicFile

SEGMENT: Final = "Segment.io"
PASSED_ON: Final = ("deliveryStrategy", "httpConfig")
"""Settings of a source, objects, that go to the library as they are: whether and how it sends in batches, and how it
waits and tries again."""

_ON: Final[Mapping[str, Any]] = {"enabled": True, "integrations": {}}
_MOST_REMEMBERED: Final = 64


class Reader(msgspec.Struct, frozen=True):
    """For whom a document is: which of the source's write keys, and where events go to: `protocol`, and `host` with
    the path that libraries put their letters behind. `has_library`: this server has the bundles of the browser
    library, or nobody has them."""

    write_key: str
    protocol: str
    host: str
    has_library: bool


class Documents:
    """The newest documents as files, so that one is written and packed once and not for every page view."""

    def __init__(self) -> None:
        self._version = -1
        self._written: dict[Reader, PublicFile] = {}

    def of(self, snapshot: Snapshot, source: SourceConfig, reader: Reader) -> PublicFile:
        """The document of a source."""
        if snapshot.version != self._version or len(self._written) >= _MOST_REMEMBERED:
            self._version = snapshot.version
            self._written.clear()
        if reader not in self._written:
            plan = snapshot.plans.get(source.tracking_plan_id)
            body = msgspec.json.encode(document(source, plan, reader))
            self._written[reader] = PublicFile(body, JSON[1], CHECKED_EACH_TIME)
        return self._written[reader]


def document(source: SourceConfig, plan: PlanConfig | None, reader: Reader) -> dict[str, Any]:
    """The settings of a source. Nothing is sampled to /v1/m."""
    listed = _integrations(source) if reader.has_library else {}
    return {
        "integrations": {SEGMENT: _segment(source, reader), **listed},
        "plan": {
            "track": _track(source, plan),
            "identify": _traits(source, "identify"),
            "group": _traits(source, "group"),
        },
        "edgeFunction": _live_plugin(source, reader),
        "middlewareSettings": {"routingRules": []},
        "enabledMiddleware": {},
        "metrics": {"sampleRate": 0},
        "legacyVideoPluginsEnabled": False,
        "remotePlugins": [],
        **_consent(source),
    }


def _segment(source: SourceConfig, reader: Reader) -> dict[str, Any]:
    """The destination that is this server."""
    passed = {name: source.settings.get(name) for name in PASSED_ON}
    return {
        "apiKey": reader.write_key,
        "apiHost": reader.host,
        "protocol": reader.protocol,
        "addBundledMetadata": True,
        "unbundledIntegrations": _names(source),
        "maybeBundledConfigIds": {},
        "retryQueue": True,
        **{name: value for name, value in passed.items() if isinstance(value, dict)},
    }


def _live_plugin(source: SourceConfig, reader: Reader) -> dict[str, Any]:
    """What tells a device to fetch the live plugin, and with an empty address to forget the one it has."""
    plugin = source.live_plugin
    if plugin is None:
        return {}
    url = f"{reader.protocol}://{reader.host.removesuffix('/v1')}{live_plugin_path(source.id)}"
    return {"version": plugin.version, "downloadURL": url if plugin.code else ""}


def _names(source: SourceConfig) -> list[str]:
    return sorted({each.name for each in source.destinations if each.enabled})


def _integrations(source: SourceConfig) -> dict[str, Any]:
    """A website is told of each enabled destination, and obeys the plan only then; a device is not, for its plugins
    take a name that stands here for one that they should send to themselves. As soon as one stands here the
    library loads another bundle, so without bundles none may: a site that serves the library itself would fail."""
    if source.platform != "web":
        return {}
    consent = _categories(source)
    return {
        name: {
            "bundlingStatus": "unbundled",
            "versionSettings": {"componentTypes": ["server"]},
            **({"consentSettings": {"categories": consent[name]}} if consent[name] else {}),
        }
        for name in _names(source)
    }


# ---- the plan


def _track(source: SourceConfig, plan: PlanConfig | None) -> dict[str, Any]:
    """Which track events are sent to whom. One that is off is still sent to the server, which counts it."""
    allows_unplanned = source.schema.allow_unplanned_events or source.platform != "web"
    events: dict[str, Any] = {"__default": {**_ON, "enabled": plan is None or allows_unplanned}}
    if plan is None:
        events.update((name, {**_ON, "enabled": False}) for name in source.schema.events_off.get("track", ()))
    elif not allows_unplanned:
        events.update((rule.key, _ON) for rule in plan.rules if rule.type == "TRACK" and rule.key)
    for place, names in source.schema.integrations_off.items():
        kind, _, name = place.partition("/")
        if kind == "track" and name:
            events[name] = {**events.get(name, events["__default"]), "integrations": dict.fromkeys(names, False)}
    return events


def _traits(source: SourceConfig, call: str) -> dict[str, Any]:
    """Which traits a call may have: all but those that the schema of a source without a plan switches off."""
    off: Iterable[str] = () if source.tracking_plan_id else source.schema.traits_off.get(call, ())
    return {"__default": {"enabled": True}, **{trait: {"enabled": False} for trait in off}}


# ---- consent


def _categories(source: SourceConfig) -> dict[str, list[str]]:
    """By name of a destination the categories of all its instances."""
    enabled = [each for each in source.destinations if each.enabled]
    return {
        name: sorted({category for each in enabled if each.name == name for category in each.consent_categories})
        for name in _names(source)
    }


def _consent(source: SourceConfig) -> dict[str, Any]:
    """What consent dialogs ask for; nothing when no destination is mapped to a category."""
    enabled = [each for each in source.destinations if each.enabled]
    categories = sorted({category for each in enabled for category in each.consent_categories})
    unmapped = any(not each.consent_categories for each in enabled)
    return (
        {"consentSettings": {"allCategories": categories, "hasUnmappedDestinations": unmapped}} if categories else {}
    )
