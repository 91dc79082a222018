"""Requests that leave through the runner are those of the package when Node runs it by itself, byte for byte.

Every action of every destination is called both ways with the same made-up settings and events, and one server
takes the requests of both. Only what depends on the clock or on chance is made alike before comparing.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from destinations.actions.cases import Case, cases
from destinations.actions.partner import Partner, Request
from mainstem.destinations.actions.runner import Result, Runner

pytestmark = [pytest.mark.destinations, pytest.mark.usefixtures("catalog")]

PLAIN = Path(__file__).with_name("plain.cjs")
ANSWER_SECONDS = 60
OTHERWISE = {
    "avo-v2": "its batch goes to the place of its first member; here members of other batch keys are other batches",
    "emarsys": "signs with a random number",
}
"""Destinations whose requests differ, and why."""
RANDOM_ID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)?")
EPOCH = re.compile(r"(?<!\d)(\d{10})(\d{3})?(?:\.\d+)?(?!\d)")
DAY_SECONDS = 86_400


class Plain:
    """The package in Node."""

    def __init__(self, program: asyncio.subprocess.Process) -> None:
        self._program = program

    @classmethod
    async def start(cls, packages: Path, url: str) -> Plain:
        node = shutil.which("node")
        assert node, "node is missing: `make test-destinations` says what to install"
        folder = (packages / "destinations").resolve()
        command = [node, str(PLAIN), str(folder), url]
        return cls(
            await asyncio.create_subprocess_exec(*command, stdin=-1, stdout=-1, limit=64 * 1024 * 1024, env={})
        )

    async def run(self, case: Case) -> dict[str, Any]:
        call = case.call
        question = {
            "id": call.metadata_id, "action": call.action, "mapping": call.mapping, "settings": call.settings,
            "auth": call.auth, "isBatch": call.is_batch, "events": [msgspec.Raw(each) for each in call.events],
        }  # fmt: skip
        assert self._program.stdin
        assert self._program.stdout
        self._program.stdin.write(msgspec.json.encode(question) + b"\n")
        async with asyncio.timeout(ANSWER_SECONDS):
            line = await self._program.stdout.readline()
        answer: dict[str, Any] = msgspec.json.decode(line)
        return answer

    async def close(self) -> None:
        assert self._program.stdin
        self._program.stdin.close()
        await self._program.wait()


class Both(msgspec.Struct):
    """What came of a case in both ways."""

    case: Case
    ours: list[Request]
    results: list[Result]
    theirs: list[Request]
    answer: dict[str, Any]

    @property
    def is_equal(self) -> bool:
        return [alike(each) for each in self.ours] == [alike(each) for each in self.theirs]


def alike(request: Request) -> tuple[Any, ...]:
    """A request without what depends on the clock or on chance."""
    headers = {name: settled(value) for name, value in request.headers.items() if name != "host"}
    return request.method, settled(request.url), headers, settled(request.body.decode(errors="backslashreplace"))


def settled(text: str) -> str:
    """The text with a mark in place of each random id, and of each time of today."""
    text = MOMENT.sub(lambda found: moment_mark(found[0]), RANDOM_ID.sub("<id>", text))
    return EPOCH.sub(lambda found: "<now>" if is_now(int(found[1])) else found[0], text)


def moment_mark(text: str) -> str:
    moment = dt.datetime.fromisoformat(text[:19]).replace(tzinfo=dt.UTC)
    return "<now>" if is_now(moment.timestamp()) else text


def is_now(seconds: float) -> bool:
    return abs(seconds - time.time()) < DAY_SECONDS


async def compared(packages: Path, runner: Runner, partner: Partner) -> list[Both]:
    plain = await Plain.start(packages, partner.url)
    found = []
    for case in cases():
        answer = await runner.call(case.call)
        ours = partner.taken()
        theirs = await plain.run(case)
        found.append(Both(case, ours, list(answer.results), partner.taken(), theirs))
    await plain.close()
    return found


async def test_the_same_requests_leave_as_from_the_package_by_itself(
    packages: Path, runner: Runner, partner: Partner
) -> None:
    found = await compared(packages, runner, partner)
    assert len({each.case.dir for each in found}) == 214
    different = {each.case.label for each in found if not each.is_equal and each.case.dir not in OTHERWISE}
    assert different == set()
    assert len({each.case.dir for each in found if each.ours and each.is_equal}) >= 140
    # and where the package throws, or says that it failed, nothing reads as delivered
    thrown = [each for each in found if "error" in each.answer]
    assert len(thrown) > 100
    assert [each.case.label for each in thrown if any(result.is_delivered for result in each.results)] == []
    delivered = [each for each in found if all(result.is_delivered for result in each.results)]
    assert len(delivered) > 500
    for each in delivered:
        assert says_delivered(each.answer["outputs"]), each.case.label


def says_delivered(outputs: list[dict[str, Any]]) -> bool:
    if "multistatus" in outputs[0]:
        return all(200 <= each["status"] < 300 for each in outputs[0]["multistatus"])
    return outputs[-1]["output"] == "Action Executed"
