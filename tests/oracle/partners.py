"""The other end of what is configured: functions and destinations in one server that answers at random.

    insert    the function behind the source asks it what to do
    webhook   a webhook
    function  a destination function asks it what to do
    single    an Actions destination, an event a request
    batched   its second mapping, many events a request
    brittle   an Actions destination whose own code fails on what it answers, until that is mended

All of them fail now and then, and hang a few times: no answer, or, where a function asks, a loop or a promise that
nobody keeps. What a place refuses for good follows from the event, so that the verdict knows it.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from oracle.numbered import Id, id_of, is_as_sent
from oracle.sink import FAILURES, NO_ANSWER, OK, REFUSED, Arrival, Sink, read_request, write_answer

INSERT, WEBHOOK, FUNCTION = "insert", "webhook", "function"
SINGLE, BATCHED, BRITTLE = "single", "batched", "brittle"
FUNCTIONS: Final = frozenset({INSERT, FUNCTION})
ACTIONS: Final = frozenset({SINGLE, BATCHED, BRITTLE})
LOOP, WAIT, CRASH = 597, 598, 599
HANGS: Final = (LOOP, WAIT)
MARK = "passed"
FAILS_ONE_IN = 12
HANGS_ONE_IN = 40
REFUSES_ONE_IN = 20
POISONOUS_NUMBER = 12
"""This event of each user ends the process of the destination function, until that is mended."""

CODE: Final = f"""
async function onTrack(event, settings) {{
  let status = 0
  try {{
    status = (await fetch(settings.url, {{ method: 'POST', body: JSON.stringify(event) }})).status
  }} catch (error) {{
    throw new RetryError('no answer')
  }}
  if (status === {LOOP}) for (;;);
  if (status === {WAIT}) await new Promise(() => {{}})
  if (status === {CRASH}) {{ const all = []; for (;;) all.push('x'.repeat(2 ** 27).toUpperCase()) }}
  if (status === {REFUSED}) throw new ValidationError('refused')
  if (status !== {OK}) throw new RetryError('not now')
  event.properties.{MARK} = true
  return event
}}
"""
"""A function that does as it is told: as a destination, and behind a source, where it marks what it lets pass."""


@dataclass(frozen=True)
class Trouble:
    """When a function was told to loop or to crash: other calls in its process then begin once more. And when a
    request was given up, which Deno may then have sent once more on a connection that it had used before."""

    place: str
    at: float


def refuses(place: str, event: Id) -> bool:
    """What this place never takes. Batches are taken whole, and poison is refused nowhere."""
    if place in {BATCHED, BRITTLE} or event.number == POISONOUS_NUMBER:
        return False
    return zlib.crc32(f"{place} {event.message_id}".encode()) % REFUSES_ONE_IN == 0


def is_set_aside(place: str, event: Id) -> bool:
    """What breaks the code that sends it there, as long as that is not mended."""
    return place == BRITTLE or (place == FUNCTION and event.number == POISONOUS_NUMBER)


class Partners(Sink):
    """Serves every place. Each hangs up to `hangs` times."""

    def __init__(self, seed: int, *, hangs: int) -> None:
        super().__init__(seed)
        self._hangs = Counter(dict.fromkeys((INSERT, WEBHOOK, FUNCTION, SINGLE), hangs))
        self.mended_at = float("inf")
        self.troubles: list[Trouble] = []

    def mend(self) -> None:
        """Lift the faults that poison meets."""
        self.mended_at = time.monotonic()

    @property
    def diverted_url(self) -> str:
        """Where requests of Actions destinations go."""
        return self.url("diverted")

    async def _answered_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await read_request(reader)
        original = request.headers.get("mainstem-original-url", "")
        place = _place(request.path, original)
        events = _events(place, request.body)
        status = self._decided(place, [which for which, _ in events])
        self._note(place, events, status, is_first_of_two="/companies/" in original)
        if status in HANGS and place not in FUNCTIONS:
            await reader.read()  # until the worker gives up
            self.troubles.append(Trouble(place, time.monotonic()))
            return False
        if status == NO_ANSWER:
            return False
        await write_answer(writer, status, self._brittle_answer() if place == BRITTLE else b"")
        return True

    def _brittle_answer(self) -> bytes:
        """JSON either way; what the destination looks for is only in the second."""
        return b"null" if self.mended_at > time.monotonic() else b'{"data":{"id":{"record_id":"1"}}}'

    def _decided(self, place: str, events: Sequence[Id]) -> int:
        is_mended = self.mended_at <= time.monotonic()
        if place == FUNCTION and is_set_aside(place, events[0]) and not is_mended:
            return CRASH
        if self._chance.randrange(FAILS_ONE_IN) == 0:
            return self._chance.choice(FAILURES)
        if self._hangs[place] and self._chance.randrange(HANGS_ONE_IN) == 0:
            self._hangs[place] -= 1
            return self._chance.choice(HANGS)
        return REFUSED if len(events) == 1 and refuses(place, events[0]) else OK

    def _note(self, place: str, events: Sequence[tuple[Id, bool]], status: int, *, is_first_of_two: bool) -> None:
        """An event is decided when it was taken, was refused, or broke what sent it. Of the two requests that
        brittle gets for an event the second takes it; the first breaks it, until that is mended."""
        now = time.monotonic()
        if place in FUNCTIONS and status in {LOOP, CRASH}:
            self.troubles.append(Trouble(place, now))
        if is_first_of_two and status == OK:
            if self.mended_at <= now:
                return
            status = CRASH
        noted = REFUSED if status == CRASH else NO_ANSWER if status in HANGS else status
        self._arrivals += [Arrival(place, event, noted, now, is_whole) for event, is_whole in events]


def _place(path: str, original_url: str) -> str:
    """The path, or for Actions destinations that of the URL which the request was diverted from."""
    if "api.attio.com" in original_url:
        return BRITTLE
    return (original_url or path).rpartition("/")[2]


def _events(place: str, body: Any) -> list[tuple[Id, bool]]:
    """Every event of a request, and whether it is as it was sent, but for the mark of the function behind the
    source: that must be on it."""
    if isinstance(body, list):
        return [each for one in body for each in _events(place, one)]
    if place == BRITTLE:
        values = body["data"]["values"]
        user, _, number = str(values.get("domains") or values["workspace_id"]).rpartition(".")
        return [(Id(user, int(number)), True)]
    properties = dict(body["properties"])
    is_marked = properties.pop(MARK, False)
    which = id_of(body)
    return [(which, is_as_sent({**body, "properties": properties}, which) and is_marked is (place != INSERT))]
