"""The load: clients that send numbered events, log each 200, and send again what was not answered so.

They behave as the client libraries do: after a lost connection, a 5xx or a 429 the same body with the same
messageIds goes out again. A user's next event is sent when the one before is acknowledged, or behind it in the
same batch, so each user's order is certain.
"""

from __future__ import annotations

import base64
import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Sequence
from email.message import Message
from types import TracebackType
from urllib.parse import urlsplit

from oracle.numbered import Id, event_of

USERS_PER_CLIENT = 6
MOST_IN_BATCH = 24
PATIENCE_SECONDS = 180.0
WAIT_AGAIN_SECONDS = (0.02, 0.2)


class Generator:
    """Clients that send until `stop`, each over one connection, to the Tracking API at `url`.

    `pause_seconds` is the longest a client rests between two requests.
    """

    def __init__(self, url: str, write_key: str, *, clients: int, pause_seconds: float, seed: int) -> None:
        self.netloc = urlsplit(url).netloc
        self.write_key = write_key
        self.pause_seconds = pause_seconds
        self.stopping = threading.Event()
        self.statuses: Counter[str] = Counter()
        self._acknowledged: list[tuple[float, Sequence[Id]]] = []
        self._faults: list[str] = []
        self._logged = threading.Condition()
        self._count = 0
        self._clients = [_Client(self, number, random.Random(f"{seed}.{number}")) for number in range(clients)]
        self._threads = [threading.Thread(target=each.run) for each in self._clients]

    def __enter__(self) -> Generator:
        for each in self._threads:
            each.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        for each in self._threads:
            each.join()
        if error is None:
            assert not self._faults, "\n".join(self._faults)

    def stop(self) -> None:
        """Send nothing new, and return when all that was sent is acknowledged; fail if that does not come."""
        self.__exit__(None, None, None)

    def acknowledged(self) -> list[Id]:
        """Every event whose request was answered 200, in order of the answers."""
        with self._logged:
            return [each for _, ids in self._acknowledged for each in ids]

    def wait_for_more(self, count: int) -> None:
        """Return when `count` further events were acknowledged; fail when they are not in three minutes."""
        with self._logged:
            wanted = self._count + count
            arrived = self._logged.wait_for(lambda: self._count >= wanted or self._faults, PATIENCE_SECONDS)
            assert arrived, f"{self._count} of {wanted} events were acknowledged after {PATIENCE_SECONDS} s"
            assert not self._faults, "\n".join(self._faults)

    def wait_for_status(self, status: str, count: int) -> None:
        """Return when `count` further answers had this status; fail when they do not come in three."""
        with self._logged:
            wanted = self.statuses[status] + count
            arrived = self._logged.wait_for(lambda: self.statuses[status] >= wanted or self._faults, PATIENCE_SECONDS)
            assert arrived, f"no {count} answers {status} in {PATIENCE_SECONDS} s, but {dict(self.statuses)}"
            assert not self._faults, "\n".join(self._faults)

    def first_acknowledged_after(self, moment: float) -> float:
        """When the first event after `moment` (a monotonic time) was acknowledged."""
        with self._logged:
            return min(at for at, _ in self._acknowledged if at > moment)

    def note(self, status: str, ids: Sequence[Id] = ()) -> None:
        """Log an answer, and the events that it acknowledges."""
        with self._logged:
            self.statuses[status] += 1
            if ids:
                self._acknowledged.append((time.monotonic(), ids))
                self._count += len(ids)
            self._logged.notify_all()

    def give_up(self, fault: str) -> None:
        """Log what must not happen; the run fails with it."""
        with self._logged:
            self._faults.append(fault)
            self._logged.notify_all()


class _Client:
    """One connection and its own users."""

    def __init__(self, generator: Generator, number: int, chance: random.Random) -> None:
        self._generator = generator
        self._chance = chance
        self._next = {f"user-{number}-{each}": 0 for each in range(USERS_PER_CLIENT)}
        self._connection = http.client.HTTPConnection(generator.netloc, timeout=15)

    def run(self) -> None:
        try:
            while not self._generator.stopping.is_set():
                self._send_until_acknowledged(self._take(self._chance.choice((1, 1, 2, MOST_IN_BATCH))))
                self._generator.stopping.wait(self._chance.uniform(0, self._generator.pause_seconds))
        except AssertionError as fault:
            self._generator.give_up(str(fault))
        finally:
            self._connection.close()

    def _take(self, most: int) -> list[Id]:
        ids = []
        for _ in range(self._chance.randint(1, most)):
            user = self._chance.choice(list(self._next))
            ids.append(Id(user, self._next[user]))
            self._next[user] += 1
        return ids

    def _send_until_acknowledged(self, ids: Sequence[Id]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._is_acknowledged(ids):
            assert time.monotonic() < deadline, f"not acknowledged for {PATIENCE_SECONDS} s: {ids[0].message_id} …"
            time.sleep(self._chance.uniform(*WAIT_AGAIN_SECONDS))

    def _is_acknowledged(self, ids: Sequence[Id]) -> bool:
        try:
            status, headers = self._send(ids)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            self._generator.note(type(error).__name__)
            return False
        if status == 200:
            self._generator.note("200", ids)
            return True
        self._generator.note(str(status))
        assert status == 503, f"answered {status}"
        assert int(headers.get("Retry-After", 0)) > 0, "503 without Retry-After"
        return False

    def _send(self, ids: Sequence[Id]) -> tuple[int, Message]:
        if len(ids) == 1:
            path, body = "/v1/track", json.dumps(event_of(ids[0]))
        else:
            path, body = "/v1/batch", json.dumps({"batch": [event_of(each) for each in ids]})
        key = base64.b64encode(f"{self._generator.write_key}:".encode()).decode()
        headers = {"Authorization": f"Basic {key}", "Content-Type": "application/json"}
        self._connection.request("POST", path, body.encode(), headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status, answer.headers
