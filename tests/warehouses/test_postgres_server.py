"""Against a real server, which lets in everybody from this machine."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from mainstem.warehouses.door import Door


@pytest.mark.postgres
@pytest.mark.parametrize(("database", "is_open"), [("postgres", True), ("nowhere", False)])
def test_a_database_that_is_there_opens_and_another_does_not(tmp_path: Path, database: str, is_open: bool) -> None:
    server = urlsplit(os.environ["TEST_DATABASE"])
    settings = {"hostname": server.hostname, "port": server.port, "username": server.username, "database": database}
    made = Door(tmp_path, (ipaddress.ip_network("127.0.0.0/8"),))
    assert made.opens("w", "postgres", settings) is is_open
