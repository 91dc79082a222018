"""The acceptance cases of the data plane, and the tests that hold them: a case that nobody tests stands out here."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

CASES: dict[str, tuple[str, ...]] = {
    # The Tracking API
    "a track call with its key in the body is listed with a message id of the server": (
        "test_a_call_with_its_key_in_the_body_is_delivered_with_a_new_message_id",
    ),
    "Basic authentication without the colon is accepted": (
        "test_basic_authentication_names_the_write_key",
        "test_a_key_in_the_header_is_enough",
    ),
    "a well-formed unknown key is answered 200 and nothing is stored": (
        "test_an_unknown_key_is_answered_like_any_other_and_nothing_is_kept",
    ),
    "no key is a 400 with message and code": ("test_a_missing_or_malformed_write_key_is_refused",),
    "JSON as text/plain to a short path is the event of the path": (
        "test_text_on_a_short_path_is_the_event_of_the_path",
    ),
    "truncated JSON, and a GET, are a 400": (
        "test_a_refused_call_is_told_why_and_leaves_no_trace",
        "test_get_on_a_post_route_is_answered_like_malformed_json",
    ),
    "an event of 33 KB is a 400, one of 30,082 bytes is not": (
        "test_an_event_over_32_kb_is_refused",
        "test_an_event_of_30_082_bytes_and_one_at_the_limit_are_delivered_whole",
    ),
    "a batch of 501 KB is a 400 and nothing is stored": ("test_a_batch_over_500_kb_is_refused",),
    "of 2,501 events in a batch 2,500 are received": ("test_of_2501_items_the_first_2500_are_received",),
    "a batch with an item without ids is received but for that one, and noted": (
        "test_a_batch_with_a_bad_item_is_noted_beside_the_counts",
    ),
    "a userId that is a number fails on ingest": ("test_a_broken_rule_has_its_published_reason",),
    "properties that are a list fail on ingest": ("test_every_broken_rule_has_its_reason_and_the_good_items_go_on",),
    "a gzip batch to the import path is unpacked": ("test_a_gzip_batch_is_unpacked",),
    "a preflight allows authorization, content-type and x-retry-count": ("test_a_page_of_any_website_may_send",),
    "a browser may read Retry-After wherever it is told to wait": (
        "test_a_full_disk_is_503_until_there_is_room",
        "test_a_page_can_read_success_and_every_kind_of_error",
    ),
    "a pixel whose data cannot be read is an image": ("test_an_image_whose_data_cannot_be_read_is_still_an_image",),
    "parameters of a pixel with dots nest": ("test_parameters_with_dots_are_an_event",),
    # Common fields
    "a timestamp is corrected by the clock of the client": ("test_the_clock_of_the_client_is_corrected",),
    "a timestamp without sentAt is kept": ("test_a_time_that_cannot_be_corrected_is_kept_or_that_of_receipt",),
    "of one message id at two sources the second vanishes": (
        "test_of_one_message_id_at_two_sources_the_second_vanishes",
    ),
    "two equal events without ids are both kept": ("test_two_equal_events_without_ids_are_both_kept",),
    "an address is added only where it is asked for, and 0.0.0.0 stays": (
        "test_a_servers_address_is_added_only_on_request",
        "test_a_browsers_address_is_added_unless_it_has_one",
    ),
    "context of envelope and item are merged": (
        "test_context_and_integrations_of_a_batch_reach_every_item_and_the_item_wins",
    ),
    "integrations with All: false keep an event from destinations, and not from what warehouses will read": (
        "test_an_event_that_says_no_to_all_destinations_leaves_its_source_whole_for_warehouses",
    ),
    "names of integrations are case-sensitive": (
        "test_a_destination_is_named_in_the_integrations_object_in_its_exact_case",
    ),
    "an event that names the destination gets past the schema's filter": (
        "test_an_event_that_names_the_destination_gets_there_though_the_schema_switched_it_off",
    ),
    # Tracking plans
    "an unplanned event is blocked and counts neither for MTU nor as a call": (
        "test_an_event_under_another_spelling_of_its_name_is_blocked_and_counts_neither_as_call_nor_for_mtu",
    ),
    "a blocked event that is forwarded is received, counted, and not blocked again": (
        "test_a_blocked_event_is_received_and_counted_by_the_source_it_is_forwarded_to",
        "test_a_forwarded_event_is_not_blocked_a_second_time",
    ),
    "an unplanned property is omitted, named, and not forwarded as blocked": (
        "test_an_unplanned_property_is_omitted_and_the_event_is_not_forwarded_as_blocked",
    ),
    "a missing required property passes with a violation": (
        "test_a_missing_required_property_cannot_be_omitted_so_the_event_passes_with_the_violation",
    ),
    "two violations are forwarded as two events of one user": (
        "test_each_violation_is_forwarded_as_an_event_of_one_and_the_same_user",
        "test_they_count_there_as_received_as_calls_and_for_mtu",
    ),
    "an event version that is a string means the oldest": (
        "test_an_event_version_that_is_no_integer_means_the_oldest_version",
    ),
    "the common rule blocks track calls and lets pages pass with a violation": (
        "test_a_page_passes_with_a_violation_where_a_track_call_with_the_same_fault_is_blocked",
    ),
    "a pattern with look-ahead is refused at write": ("test_a_pattern_with_look_ahead_is_refused_at_write",),
    "identify is only ever trimmed for an unplanned trait": (
        "test_identify_is_never_blocked_for_an_unplanned_trait_only_trimmed",
    ),
    "a source has one plan": ("test_a_second_plan_is_refused",),
    "rules are removed in the query encoding of every client": (
        "test_rules_are_removed_in_the_query_encoding_of_every_client",
    ),
    # Filters
    "a filter that cannot be read lets nothing through": ("test_a_filter_that_cannot_be_read_lets_nothing_through",),
    "the length of what is missing is 0": ("test_an_event_without_user_id_is_dropped_by_its_length",),
    "a number in a string is not the number": (
        "test_a_number_in_a_string_does_not_match_the_number_and_is_unequal_to_it",
    ),
    "match covers the whole text": ("test_match_covers_the_whole_of_a_text",),
    "length counts bytes": ("test_the_length_of_a_text_is_its_bytes",),
    "and binds tighter in a filter, and is flat in a trigger": (
        "test_a_text_that_is_a_filter_with_precedence_is_one_flat_and_as_a_trigger",
    ),
    "a property is dropped from every element of a list": (
        "test_a_path_to_an_array_removes_the_key_from_every_element",
    ),
    "allowing traits leaves the properties of a track event": (
        "test_allow_properties_of_traits_leaves_the_properties_of_a_track_untouched",
    ),
    "a sample by user keeps a quarter of 10,000 users, with all or none of their events": (
        "test_sampling_by_path_keeps_its_share_of_users_with_all_their_events",
    ),
    "two only-send filters must both hold": ("test_two_only_send_filters_must_both_hold",),
    "a filter drops for its destination alone": ("test_an_event_that_matches_is_dropped_for_this_destination_alone",),
    # Transformations
    "source transformations precede filters, those of a destination follow them": (
        "test_a_source_transformation_renames_before_a_filter_drops",
        "test_with_a_rename_for_the_destination_the_event_passes_its_filter",
    ),
    "fqlDefinedProperties and propertyRenames exclude each other": (
        "test_fql_defined_properties_and_property_renames_are_refused_together",
    ),
    "products.$.sku is not renamed": ("test_renaming_products_dollar_sku_is_refused",),
    # Functions
    "an insert function without onPage keeps pages from its destination": (
        "test_an_insert_function_without_onpage_keeps_pages_from_the_destination",
    ),
    "an insert function does not make another mapping fire": (
        "test_an_insert_function_does_not_make_another_mapping_fire",
    ),
    "what an insert batch does not return is filtered there": (
        "test_what_an_insert_batch_does_not_return_is_filtered_at_the_function",
    ),
    "of a batch with 200, 400 and 500 only the third is tried again": (
        "test_of_a_batch_with_statuses_200_400_500_only_the_third_is_retried",
    ),
    "any other error is bad_request and not tried again": (
        "test_any_other_error_is_discarded_as_bad_request_and_not_retried",
    ),
    # Destination Actions
    "a disabled mapping makes no request": ("test_a_disabled_mapping_sends_nothing_and_no_match_is_counted",),
    "a disabled destination with enabled mappings gets and counts nothing": (
        "test_nothing_is_sent_or_counted_at_a_disabled_destination",
    ),
    "a trigger in single quotes is refused": ("test_a_trigger_that_can_never_fire_is_a_fault_with_its_reason",),
    "three mappings make three requests of one received event": (
        "test_three_mappings_make_three_requests_of_one_event",
        "test_an_event_through_three_mappings_is_received_once",
    ),
    "503 and then 200 is a success with one retry": ("test_an_answer_of_503_is_tried_again_and_counts_as_delivered",),
    "400 fails at once, 429 for four hours fails as 429": (
        "test_an_answer_of_400_fails_at_once",
        "test_what_fails_until_the_time_for_retries_is_over_failed",
    ),
    "an expired token is refreshed, kept and tried once more": (
        "test_an_expired_token_is_refreshed_and_the_new_one_handed_back",
        "test_refreshed_tokens_are_kept",
        "test_a_new_token_that_is_refused_as_well_is_final_after_one_repeat",
    ),
    "of a multistatus only the 429 is tried again": ("test_of_a_batch_only_the_member_answered_429_is_tried_again",),
    # On the way to a destination
    "what the browser sent is not sent again": ("test_what_the_browser_sent_itself_is_not_sent_again",),
    "consent to all categories is needed, whatever the integrations object says": (
        "test_a_destination_mapped_to_two_categories_is_blocked_by_one_even_when_the_integrations_object_says_true",
    ),
    "no consent object lets all pass, empty preferences only what is unmapped": (
        "test_without_a_consent_object_every_destination_gets_the_event",
        "test_with_empty_preferences_only_unmapped_destinations_get_the_event",
    ),
    # Usage
    "a login on one device of two is two tracked users, on both it is one": (
        "test_logged_in_on_one_device_of_two_is_two_tracked_users",
        "test_logged_in_on_both_devices_is_one",
    ),
    "a batch of 50 is 50 calls and 50 events": ("test_a_batch_of_50_is_50_calls_and_50_events",),
    "of a suppressed user there is nothing anywhere": (
        "test_of_a_suppressed_user_nothing_is_delivered_counted_shown_or_archived",
    ),
    # What others read of it
    "an event that is off in the settings of browsers is posted for nobody and blocked here": (
        "test_an_event_that_the_schema_switches_off_is_off",
        "test_what_the_browser_posts_of_an_event_that_is_switched_off_is_blocked_as_well",
        "test_a_disabled_event_is_still_posted_for_nobody_and_blocked_on_the_server",
    ),
    "a created subscription has another key than a read one": (
        "test_the_answer_to_a_creation_has_another_key_than_that_to_a_reading",
    ),
    "the delivery overview exists in beta alone": ("test_only_the_beta_version_exists",),
    "minutes are refused over more than four hours": ("test_what_breaks_a_limit_is_refused_naming_the_parameter",),
    "a preview of a filter that drops is null": ("test_a_dropped_payload_has_a_null_result",),
}
"""What is promised, and the tests of it. Warehouses are not filled yet; what they will be filled from is tested."""


@cache
def names() -> frozenset[str]:
    """Every test that there is."""
    found = set()
    for path in TESTS.rglob("test_*.py"):
        if "node_modules" not in path.parts:
            nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            found |= {each.name for each in nodes if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)}
    return frozenset(found)


@pytest.mark.parametrize("case", CASES)
def test_every_acceptance_case_has_tests_named_after_it(case: str) -> None:
    assert [each for each in CASES[case] if each not in names()] == []


def test_there_is_an_entry_for_each_of_the_acceptance_cases() -> None:
    assert len(CASES) == 75
