"""How an event can end, and every reason for it, a sentence each.

Every event that a source received ends in exactly one outcome per destination. Stages are the six of the
delivery overview; reasons are its published discard codes, and those that mainstem can produce stand here.
Source: Public API reference, "Delivery Overview", and the delivery overview's table of discard reasons.
"""

from __future__ import annotations

import enum
from typing import Final

import msgspec


class Stage(enum.StrEnum):
    """Where an event's fate was decided; the values are what the outcome store keeps."""

    FAILED_ON_INGEST = "failed_on_ingest"
    SUCCESSFULLY_RECEIVED = "successfully_received"
    FILTERED_AT_SOURCE = "filtered_at_source"
    FILTERED_AT_DESTINATION = "filtered_at_destination"
    FAILED_DELIVERY = "failed_delivery"
    SUCCESSFUL_DELIVERY = "successful_delivery"
    ENVELOPE = "envelope"
    """Not a fate of an event but a note on a batch (multi_user_error, empty_batch_result), whose items are
    counted one by one elsewhere. Kept apart, so that no sum of the six stages ever counts a batch as an event."""


INGEST_REASONS: Final = {
    "no_user_anon_id": "neither userId nor anonymousId is present",
    "id_not_string": "an id is present but empty or not a string",
    "id_required": "an id that this call requires (groupId, previousId) is missing",
    "event_not_defined": "a track call has no event",
    "event_not_string": "a track call's event is not a string",
    "properties_not_object": "properties is present and not an object",
    "traits_not_object": "traits is present and not an object",
    "name_not_string": "a page's or screen's name is present but empty or not a string",
    "category_not_string": "a page's or screen's category is present but empty or not a string",
    "empty_batch": "a batch holds no items",
    "consent_categorypreferences_should_exist": "a consent event has no context.consent.categoryPreferences",
    "consent_categorypreferences_fields_should_be_object": "categoryPreferences is not an object",
    "consent_categorypreferences_fields_should_be_bool": "a category preference is not a boolean",
    "device_advertisingid_should_be_string": "context.device.advertisingId is not a string",
    "consent_version_should_be_number": "context.consent.version is not a number",
    "bad_request": "an unknown type, an item that is no object, a messageId over 100 characters, or a batch whose "
    "context would be copied into more than 8 MB of items",
    "too_many_requests": "items beyond the 2,500th of a batch",
    "FUNCTION_TIMEOUT": "a source function took too long",
    "RETRY_ERROR": "a source function asked to be called again until its attempts were used up",
    "INVOKE_ERROR": "a source function threw an error",
    "BAD_DEPLOY": "a source function is not deployed, or its code does not load",
    "TRACKING_API_FAILED": "a source function emitted what is no event",
    "source_disabled": "the source is disabled",
    "unknown_source": "the source was deleted after it had accepted the event",
    "internal": "a step failed on this event; it is kept as a dead letter",
}
ENVELOPE_REASONS: Final = {
    "empty_batch_result": "no item of a batch was valid; each item is counted under its own reason",
    "multi_user_error": "some items of a batch were dropped, each counted under its own reason; the others went on",
}
SOURCE_REASONS: Final = {
    "unplanned": "the tracking plan has no rule for the event, and unplanned events are blocked",
    "schema_violation": "the event breaks its rule, and such events are blocked",
    "unplanned_and_schema_violation": "the event is not in the tracking plan and breaks its common rule besides",
    "common_schema_violation": "the event breaks the common rule, and such events are blocked",
    "event_setting": "the event is switched off in the schema of its source",
    "transformation_drop": "a transformation of the source dropped it (judgement: the reference has no code for it)",
    "unsupported_event_type": "the source's insert function has no handler for this type, or refused it",
    "message_rejected": "the source's insert function found the event invalid, or returned what is none",
    "bad_request": "the source's insert function threw an error",
    "invalid_settings": "the source's insert function is not deployed, or its code does not load",
    "gateway_timeout": "the source's insert function took too long, again and again",
    "retry": "the source's insert function asked to be called again until the time for retries was over",
    "unknown_source": "the source was deleted while the event waited for its insert function",
    "dropped": "the source's insert function dropped it, or returned nothing (judgement: the reference has no code)",
    "internal": "a step failed on this event; it is kept as a dead letter",
}
DESTINATION_REASONS: Final = {
    "FILTERED_BY_RULES": "a destination filter dropped it, or a filter could not be evaluated",
    "FILTERED_BY_INTEGRATIONS_OBJECT": "the event's integrations object switches the destination off",
    "MESSAGE_SENT_CLIENT_SIDE": "the browser already sent it to this destination",
    "UNSUPPORTED_EVENT_TYPE": "the destination does not take this type of event",
    "INVALID_SETTINGS": "a required setting of the destination is missing or malformed",
    "FILTERED_BY_END_USER_CONSENT": "the user did not agree to a category of the destination",
    "NO_MATCHING_MAPPING": "no enabled mapping of the destination has a trigger that matches",
    "FILTERED_AT_MAPPING": "the mapping was disabled or deleted while the event waited",
    "unsupported_event_type": "the insert function, or the function that the destination is, does not take the type",
    "message_rejected": "a function found the event invalid",
    "bad_request": "a function threw an error",
    "invalid_settings": "a function is not deployed, its code does not load, or its settings are wrong",
    "gateway_timeout": "a function took too long, again and again",
    "retry": "a function asked to be called again until the time for retries was over",
    "dropped": "an insert function dropped it, or returned nothing (judgement: the reference has no code for it)",
    "INTERNAL": "a step failed on this event; it is kept as a dead letter",
}
DELIVERY_REASONS: Final = {
    "400": "the partner answered 400; any other final HTTP status stands for itself likewise",
    "EREFUSED": "the connection was refused, by the partner or by the network policy",
    "ETIMEDOUT": "no answer in time",
    "ENOTFOUND": "the host name does not resolve",
    "ECONNRESET": "the connection broke before the answer was whole",
    "MESSAGE_REJECTED": "the destination was disabled or deleted while the event waited",
    "INVALID_SETTINGS": "the destination's settings cannot be used",
    "INTERNAL": "the connector failed on this event; it is kept as a dead letter",
    "RETRY": "the time for retries was over; the last failure (500, say) has no published code, or there was none",
}


def success_reason(attempt: int) -> str:
    """The `discardReason` that isolates deliveries by attempt, 1 to 10: "successes.attempt.1"."""
    return f"successes.attempt.{min(attempt, 10)}"


class OutcomeKey(msgspec.Struct, frozen=True, array_like=True):
    """What outcomes are counted by. `minute` is the minute (Unix time / 60) in which the event was RECEIVED,
    whenever its fate was decided, so that for any window received = filtered + delivered + failed + in flight.
    `destination_id` is "" for the three stages of the source. (Judgement: the reference names no clock.)
    """

    minute: int
    source_id: str
    destination_id: str
    stage: Stage
    reason: str
    event_type: str
    event_name: str
    app_version: str
    subscription_id: str = ""


class Tally(msgspec.Struct):
    """A count of events with one OutcomeKey, and of the retries that it took them."""

    count: int = 0
    retries: int = 0
