"""Every operation record states what the contract states, and what is missing is listed by name."""

from __future__ import annotations

import pytest

from mainstem import contract
from mainstem.public_api import FAMILIES
from mainstem.rest import media
from mainstem.rest.operation import Operation

PUBLISHED = contract.operations()
RECORDS = {record.id: record for family in FAMILIES for record in family.operations}
WINDOW_SECONDS = {"minute": 60}

# Published operations without a record. This list can only shrink: remove a name when its operation works.
NOT_YET = {
    "Activations": """
        addActivationToAudience addDestinationToAudience getActivationFromAudience
        listActivationsFromAudience listDestinationsFromAudience listSupportedDestinationsFromAudience
        removeActivationFromAudience removeDestinationFromAudience updateActivationForAudience
        updateDestinationForAudience
    """,
    "Audiences": """
        addAudienceScheduleToAudience createAudience createAudiencePreview forceExecuteAudienceRun
        getAudience getAudiencePreview getAudienceScheduleFromSpaceAndAudience
        listAudienceConsumersFromSpaceAndAudience listAudienceSchedulesFromSpaceAndAudience listAudiences
        removeAudienceFromSpace removeAudienceScheduleFromAudience updateAudienceForSpace
        updateAudienceScheduleForAudience
    """,
    "Computed Traits": """
        createComputedTrait getComputedTrait listComputedTraits removeComputedTraitFromSpace
        updateComputedTraitForSpace
    """,
    "Customer Insights": """
        createDownload
    """,
    "Deletion and Suppression": """
        createCloudSourceRegulation createSourceRegulation createWorkspaceRegulation getRegulation
        listRegulationsFromSource listSuppressions listWorkspaceRegulations
    """,
    "Reverse ETL": """
        cancelReverseETLSyncForModel createReverseETLManualSync getReverseETLSyncStatus
        listReverseETLSyncStatusesFromModelAndSubscriptionId
    """,
    "Space Schema API": """
        listEntityPaths listEvents listPropertiesFromEntity listPropertiesFromEvent
        listSampleValuesFromEntityProperty listSampleValuesFromEventProperty listSampleValuesFromTrait
        listTraits
    """,
    "Spaces": """
        batchQueryMessagingSubscriptionsForSpace replaceMessagingSubscriptionsInSpaces
    """,
    "dbt": """
        createDbtModelSyncTrigger
    """,
}


def test_what_is_not_recorded_is_listed_and_nothing_else() -> None:
    missing = {operation_id for listed in NOT_YET.values() for operation_id in listed.split()}
    assert PUBLISHED.keys() - RECORDS.keys() == missing


def test_nothing_is_recorded_that_is_not_published() -> None:
    assert RECORDS.keys() <= PUBLISHED.keys()


def test_no_operation_is_recorded_twice() -> None:
    assert sum(len(family.operations) for family in FAMILIES) == len(RECORDS)


def test_a_family_holds_operations_of_its_tag_alone() -> None:
    for family in FAMILIES:
        assert {PUBLISHED[record.id].tags[0] for record in family.operations} == {family.name}


@pytest.fixture(params=sorted(RECORDS.keys() & PUBLISHED.keys()))
def both(request: pytest.FixtureRequest) -> tuple[Operation, contract.Operation]:
    return RECORDS[request.param], PUBLISHED[request.param]


def test_a_record_has_the_published_route_and_status(both: tuple[Operation, contract.Operation]) -> None:
    record, published = both
    assert (record.method, record.path, record.status) == (
        published.method,
        published.path,
        published.success_status,
    )


def test_a_record_has_the_published_versions(both: tuple[Operation, contract.Operation]) -> None:
    record, published = both
    assert record.stage == published.stability
    assert {*map(media.vendor, record.versions), media.JSON} == set(published.media_types)


def test_a_record_has_the_published_audit_events(both: tuple[Operation, contract.Operation]) -> None:
    record, published = both
    assert set(record.audit) == set(published.audit_events)


def test_a_record_has_the_published_rate_limit(both: tuple[Operation, contract.Operation]) -> None:
    record, published = both
    own = [(record.rate.requests, record.rate.window_seconds)] if record.rate else []
    assert own == [(limit.requests, WINDOW_SECONDS[limit.window]) for limit in published.rate_limits]


def test_a_record_reads_a_body_and_query_where_the_contract_has_them(
    both: tuple[Operation, contract.Operation],
) -> None:
    record, published = both
    assert (record.body is not None) == bool(published.request_media_types)
    assert (record.query is not None) == bool(published.query)


def test_a_record_has_a_title(both: tuple[Operation, contract.Operation]) -> None:
    record, _ = both
    assert record.title


def test_a_record_names_the_published_feature(both: tuple[Operation, contract.Operation]) -> None:
    record, published = both
    assert [record.feature] == list(published.required_feature or [""])
