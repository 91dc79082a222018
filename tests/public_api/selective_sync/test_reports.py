from __future__ import annotations

from contract.proves import proves
from public_api.client import Api
from public_api.connections import new_source
from public_api.warehousing import new_warehouse

EMPTY = {"reports": [], "pagination": {"current": "MA==", "totalEntries": 0}}


@proves("listSyncsFromWarehouse", "listSyncsFromWarehouseAndSource", level=3)
def test_there_are_no_reports_before_the_first_sync(api: Api) -> None:
    source_id, url = new_source(api), f"/warehouses/{new_warehouse(api)['id']}"
    assert api.get(f"{url}/syncs?pagination.count=10").data == EMPTY
    assert api.get(f"{url}/connected-sources/{source_id}/syncs").data == EMPTY


def test_what_is_unknown_is_not_found(api: Api) -> None:
    source_id, url = new_source(api), f"/warehouses/{new_warehouse(api)['id']}"
    paths = [
        "/warehouses/nothing/syncs",
        f"/warehouses/nothing/connected-sources/{source_id}/syncs",
        f"{url}/connected-sources/nothing/syncs",
    ]
    assert [api.get(path).status for path in paths] == [404] * 3
