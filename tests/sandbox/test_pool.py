"""Processes: who shares them, who is to blame when one ends, how many there are, and what is left of them."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import msgspec
import pytest

from mainstem.errors import SandboxUnavailable
from mainstem.sandbox import Invocation, Limits, Sandbox, deno, process
from sandbox.running import SMALL, call, code, sandbox, until, value

LIMITS = msgspec.structs.replace(SMALL, seconds=1.0)
PATIENT = msgspec.structs.replace(SMALL, seconds=20.0)
MIXED = """
async function onTrack(event) {
  if (event.how === "loop") for (;;);
  await new Promise((resolve) => setTimeout(resolve, 20));
  if (event.how === "loop later") for (;;);
  if (event.how === "wait") await new Promise((resolve) => setTimeout(resolve, 300));
  if (event.how === "never") await new Promise(() => {});
  if (event.how === "eat") { const all = []; for (;;) all.push(new Array(1000).fill(all.length)); }
  return event.n;
}
"""


def pids(box: Sandbox) -> list[int]:
    return [each._pid for each in box._processes]


def told(pid: int, name: str) -> bytes:
    """What the system tells of a process."""
    return Path(f"/proc/{pid}/{name}").read_bytes()


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("how", "limits", "end"),
    [
        ("loop", LIMITS, "timeout"),
        ("loop later", LIMITS, "timeout"),
        ("never", LIMITS, "timeout"),
        ("eat", PATIENT, "killed"),
    ],
)
async def test_only_the_invocation_at_fault_is_punished(how: str, limits: Limits, end: str) -> None:
    function = code(MIXED)
    async with sandbox(limits) as box:
        guilty, *others = await asyncio.gather(
            *(call(box, function, {"n": n, "how": how if n == 0 else ""}) for n in range(15))
        )
    assert guilty.how == end, guilty
    assert [value(each) for each in others] == list(range(1, 15))


async def test_two_at_fault_are_both_found() -> None:
    function = code(MIXED)
    hows = ["", "eat", "", "loop", "", "loop later", ""]
    async with sandbox(LIMITS) as box:
        ended = await asyncio.gather(*(call(box, function, {"n": n, "how": how}) for n, how in enumerate(hows)))
    assert [each.how == "returned" for each in ended] == [not how for how in hows]


async def test_however_many_are_at_fault_the_others_are_run() -> None:
    function = code(MIXED)
    hows = ["loop"] * 5 + [""] * 6 + ["loop"] + ["wait"] * 4
    async with sandbox(msgspec.structs.replace(LIMITS, seconds=0.5)) as box:
        ended = await asyncio.gather(*(call(box, function, {"n": n, "how": how}) for n, how in enumerate(hows)))
    assert [each.how for each in ended] == ["timeout" if how == "loop" else "returned" for how in hows]


async def test_a_slow_invocation_ends_while_those_beside_it_go_on_in_the_same_process() -> None:
    source = """
    let count = 0;
    async function onTrack({ ms }) { count++; await new Promise((resolve) => setTimeout(resolve, ms)); return count; }
    """
    async with sandbox(msgspec.structs.replace(SMALL, seconds=4.0)) as box:
        function = code(source)
        first = asyncio.create_task(call(box, function, {"ms": 600_000}))
        await until(lambda: any(each._calls for each in box._processes))
        later = []
        for _ in range(8):
            later.append(asyncio.create_task(call(box, function, {"ms": 2000})))
            await asyncio.sleep(0.4)
        assert (await first).how == "timeout"
        counts = [value(each) for each in await asyncio.gather(*later)]
    assert max(counts) > 2, "those that had begun were not begun again"


async def test_what_one_left_behind_is_not_blamed_on_the_next() -> None:
    source = """
    function onTrack() { setTimeout(() => { for (;;); }, 30); return 1; }
    async function onPage() { await new Promise((resolve) => setTimeout(resolve, 100)); return 2; }
    """
    async with sandbox(LIMITS) as box:
        function = code(source)
        ended = await asyncio.gather(call(box, function), *(call(box, function, handler="onPage") for _ in range(3)))
    assert [value(each) for each in ended] == [1, 2, 2, 2]


async def test_what_is_busy_though_it_runs_nothing_is_ended() -> None:
    source = """
    function work() { const end = Date.now() + 20; while (Date.now() < end); setTimeout(work); }
    function onTrack() { work(); }
    """
    async with sandbox(PATIENT) as box:
        assert (await call(box, code(source))).how == "returned"
        await until(lambda: not box._processes)


async def test_a_process_is_replaced_after_its_share_and_nothing_is_lost() -> None:
    source = """
    let n = 0;
    async function onTrack() { const mine = ++n; await new Promise((r) => setTimeout(r, 2)); return mine; }
    """
    async with sandbox(msgspec.structs.replace(PATIENT, invocations=50)) as box:
        function = code(source)
        counts: list[int] = []
        while counts.count(1) < 2:
            ended = await asyncio.gather(*(call(box, function) for _ in range(60)))
            counts += map(value, ended)
            await asyncio.sleep(0.25)
    assert max(counts) >= 50


async def test_a_swollen_process_is_replaced_without_harm() -> None:
    source = "const kept = []; function onTrack() { kept.push(new Uint8Array(60e6).fill(1)); return kept.length; }"
    async with sandbox(PATIENT) as box:
        function = code(source)
        counts: list[int] = []
        while counts.count(1) < 2:
            counts.append(value(await call(box, function)))
            await asyncio.sleep(0.25)
    assert max(counts) < 4


async def test_unused_processes_end() -> None:
    async with sandbox(msgspec.structs.replace(PATIENT, idle_seconds=0.2)) as box:
        await call(box, code("function onTrack() {}"))
        (pid,) = pids(box)
        await until(lambda: not box._processes and not is_alive(pid))
        await until(lambda: not box._functions)


async def test_no_more_processes_live_than_may_and_every_function_has_its_turn() -> None:
    async with sandbox(msgspec.structs.replace(PATIENT, processes=3)) as box:
        functions = [code(f"async function onTrack() {{ return {n}; }}") for n in range(15)]
        calls = [asyncio.create_task(call(box, each)) for each in functions]
        most = 0
        while not all(each.done() for each in calls):
            most = max(most, len(box._processes))
            await asyncio.sleep(0.01)
        assert [value(each.result()) for each in calls] == list(range(15))
    assert most == 3


async def test_functions_that_are_always_busy_give_way_to_those_that_wait() -> None:
    async with sandbox(msgspec.structs.replace(PATIENT, processes=2, concurrency=2)) as box:
        source = "async function onTrack() { await new Promise((r) => setTimeout(r, 20)); return 1; }"
        functions = [code(source) for _ in range(4)]
        counts = [0] * 4

        async def drive(place: int) -> None:
            while min(counts) < 3:
                counts[place] += value(await call(box, functions[place]))

        async with asyncio.timeout(50):
            await asyncio.gather(*(drive(place) for place in range(4) for _ in range(2)))


async def test_the_process_that_was_unused_for_longest_gives_way() -> None:
    async with sandbox(msgspec.structs.replace(PATIENT, processes=2)) as box:
        a, b, c = (code("let n = 0; function onTrack() { return ++n; }") for _ in range(3))
        assert [value(await call(box, each)) for each in (a, b, a, c, a)] == [1, 1, 2, 1, 3]
        assert value(await call(box, b)) == 1, "it had given way to c"


async def test_a_function_waits_when_all_its_places_are_taken() -> None:
    source = """
    let now = 0, most = 0;
    async function onTrack() {
      most = Math.max(most, ++now);
      await new Promise((r) => setTimeout(r, 5));
      now--;
      return most;
    }
    """
    async with sandbox(msgspec.structs.replace(PATIENT, concurrency=4)) as box:
        function = code(source)
        ended = await asyncio.gather(*(call(box, function) for _ in range(40)))
    assert max(map(value, ended)) == 4


async def test_settings_code_and_environment_are_not_to_be_seen_from_outside() -> None:
    async with sandbox(PATIENT) as box:
        await call(box, code("function onTrack() { return 'needle'; }"))
        (pid,) = pids(box)
        arguments = told(pid, "cmdline")
        environment = told(pid, "environ")
        assert os.getpgid(pid) == pid
    assert b"s3cret" not in arguments + environment
    assert b"needle" not in arguments + environment
    assert {each.partition(b"=")[0].decode() for each in environment.split(b"\0") if each} == set(deno.ENVIRONMENT)
    assert b"--allow" not in arguments


async def test_a_process_may_write_no_file_and_leaves_no_core() -> None:
    async with sandbox(PATIENT) as box:
        await call(box, code("function onTrack() {}"))
        (pid,) = pids(box)
        limits = told(pid, "limits").decode()
        niceness = os.getpriority(os.PRIO_PROCESS, pid)
    soft = {line[:25].strip(): line[25:].split()[0] for line in limits.splitlines()}
    assert (soft["Max file size"], soft["Max core file size"]) == ("0", "0")
    assert int(soft["Max cpu time"]) <= 60
    assert int(soft["Max data size"]) <= (2 * 256 + 512) * 1024 * 1024
    assert niceness >= 5


async def test_a_process_that_holds_its_thread_goes_behind_everybody() -> None:
    async with sandbox(PATIENT) as box:
        looping = asyncio.create_task(call(box, code("function onTrack() { for (;;); }")))
        await until(lambda: any(os.sched_getscheduler(pid) == os.SCHED_IDLE for pid in pids(box)))
        assert not looping.done()


WAITS = "async function onTrack({ n }) { await new Promise((done) => setTimeout(done, 300)); return n; }"


@pytest.mark.parametrize("count", [1, 5])
async def test_invocations_whose_process_somebody_killed_are_run_again(count: int) -> None:
    async with sandbox(PATIENT) as box:
        function = code(WAITS)
        calls = [asyncio.create_task(call(box, function, {"n": n})) for n in range(count)]
        await until(lambda: sum(each.began > 0 for one in box._processes for each in one._calls.values()) == count)
        [pid] = pids(box)
        os.kill(pid, signal.SIGKILL)
        ended = await asyncio.gather(*calls)
        assert [value(each) for each in ended] == list(range(count))


async def test_invocations_whose_process_is_killed_again_and_again_end() -> None:
    async with sandbox(PATIENT) as box:
        running = asyncio.create_task(call(box, code("function onTrack() { for (;;); }")))
        for _ in range(4):
            await until(lambda: any(each.began for one in box._processes for each in one._calls.values()))
            [pid] = pids(box)
            os.kill(pid, signal.SIGKILL)
            await until(lambda pid=pid: pid not in pids(box))
        ended = await running
        assert (ended.how, ended.message) == ("killed", "its process ended again and again")


@pytest.mark.parametrize("state", ["starting", "loading"])
async def test_a_process_that_somebody_kills_before_it_runs_is_no_fault_of_the_code(state: str) -> None:
    async with sandbox(PATIENT) as box:
        running = asyncio.create_task(call(box, code("for (;;); function onTrack() {}")))
        await until(lambda: any(each._pid and each._state == state for each in box._processes))
        [pid] = pids(box)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(SandboxUnavailable):
            await running


async def test_close_ends_everything_and_says_so() -> None:
    async with sandbox(PATIENT) as box:
        waits = code("async function onTrack() { await new Promise(() => {}); }")
        calls = [asyncio.create_task(call(box, waits)) for _ in range(30)]
        await until(lambda: any(each._calls for each in box._processes))
        alive = pids(box)
        await box.close()
        ended = await asyncio.gather(*calls)
        assert {(each.how, each.message) for each in ended} == {("killed", "the sandbox was closed")}
        assert not any(map(is_alive, alive))
        with pytest.raises(SandboxUnavailable):
            await call(box, waits)


async def test_close_while_a_process_starts() -> None:
    async with sandbox(PATIENT) as box:
        calls = [asyncio.create_task(call(box, code("function onTrack() {}"))) for _ in range(3)]
        await asyncio.sleep(0)
        await box.close()
        assert {each.how for each in await asyncio.gather(*calls)} == {"killed"}


async def test_a_caller_that_gives_up_harms_nobody() -> None:
    source = "async function onTrack({ ms }) { await new Promise((r) => setTimeout(r, ms)); return ms; }"
    async with sandbox(PATIENT) as box:
        function = code(source)
        given_up = asyncio.create_task(call(box, function, {"ms": 100}))
        kept = asyncio.create_task(call(box, function, {"ms": 120}))
        await until(lambda: any(len(each._calls) == 2 for each in box._processes))
        given_up.cancel()
        assert value(await kept) == 120


async def test_without_deno_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(*_: object) -> list[str]:
        raise SandboxUnavailable("Deno is not installed")

    monkeypatch.setattr(process, "command", missing)
    async with sandbox(PATIENT) as box:
        with pytest.raises(SandboxUnavailable, match="not installed"):
            await call(box, code("function onTrack() {}"))


async def test_a_deno_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "command", lambda *_: ["/bin/sh", "-c", "echo no such library >&2; exit 3"])
    async with sandbox(PATIENT) as box:
        with pytest.raises(SandboxUnavailable, match="no such library"):
            await call(box, code("function onTrack() {}"))
        monkeypatch.undo()
        assert (await call(box, code("function onTrack() {}"))).how == "returned"


async def test_a_handler_that_is_not_there_takes_no_place() -> None:
    async with sandbox(PATIENT) as box:
        function = code("function onPage() { return 1; }")
        ended = await asyncio.gather(
            *(box.invoke(function, Invocation("onTrack" if n % 2 else "onPage", b"{}")) for n in range(100))
        )
    assert [each.how for each in ended] == ["returned", "no_handler"] * 50
