"""What functions find: handlers, arguments, published errors, globals, console, cache, Segment."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import msgspec
import pytest

from mainstem.sandbox import Invocation, Sandbox
from sandbox.running import SMALL, call, code, sandbox, value

LIMITS = msgspec.structs.replace(SMALL, seconds=10.0)


@pytest.fixture
async def box() -> AsyncIterator[Sandbox]:
    async with sandbox(LIMITS) as opened:
        yield opened


@pytest.mark.parametrize(
    "declared",
    [
        "function onTrack(e) { return e.n; }",
        "async function onTrack(e) { return e.n; }",
        "const onTrack = async (e) => e.n;",
        "let onTrack = function (e) { return e.n; };",
        "var onTrack = (e) => e.n",
        "onTrack = (e) => e.n",
        "'use strict';\nfunction onTrack(e) { return e.n; } // the end",
        "await null; function onTrack(e) { return e.n; }",
    ],
)
async def test_a_handler_is_found_however_it_is_declared(box: Sandbox, declared: str) -> None:
    ended = await call(box, code(declared), {"n": 7})
    assert value(ended) == 7
    assert ended.handlers == ("onTrack",)


async def test_a_handler_that_is_not_defined_is_told_with_those_that_are(box: Sandbox) -> None:
    ended = await call(box, code("function onPage() {}\nconst onGroup = 1, onBatch = () => {};"))
    assert (ended.how, ended.handlers) == ("no_handler", ("onPage", "onBatch"))


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("function onTrack( {", "SyntaxError", "Unexpected"),
        ("import x from 'y';", "SyntaxError", "import"),
        ("}\nfunction onTrack() {", "SyntaxError", "Unexpected"),
        ("nothing.here;", "ReferenceError", "nothing is not defined"),
        ("throw new RetryError('top');", "RetryError", "top"),
        ("await Promise.reject(new Error('top'));", "Error", "top"),
        ("require('lodash');", "ReferenceError", "require"),
    ],
)
async def test_code_that_does_not_load_is_bad_code(box: Sandbox, source: str, error: str, message: str) -> None:
    function = code(source)
    for _ in range(2):
        ended = await call(box, function)
        assert (ended.how, ended.error) == ("bad_code", error), ended
        assert message in ended.message


async def test_code_that_ends_early_defines_no_handlers(box: Sandbox) -> None:
    assert (await call(box, code("return;\nfunction onTrack() {}"))).how == "no_handler"


@pytest.mark.parametrize(
    "name", ["EventNotSupported", "InvalidEventPayload", "ValidationError", "RetryError", "DropEvent"]
)
async def test_published_errors_are_told_by_name(box: Sandbox, name: str) -> None:
    thrown = await call(box, code(f"function onTrack() {{ throw new {name}('why'); }}"))
    assert (thrown.how, thrown.error, thrown.message) == ("thrown", name, "why (line 1, column 28)")
    kind_of = await call(
        box, code(f"class Mine extends {name} {{}}; async function onTrack() {{ throw new Mine('w'); }}")
    )
    assert (kind_of.how, kind_of.error, kind_of.message) == (
        "thrown", name, f"w (line 1, column {len(name) + 58})",
    )  # fmt: skip


async def test_other_errors_are_told_by_their_own_name(box: Sandbox) -> None:
    assert (await call(box, code("function onTrack() { null.x; }"))).error == "TypeError"
    assert (await call(box, code("function onTrack() { throw new RangeError(); }"))).error == "RangeError"


async def test_what_is_thrown_is_told_with_its_place_in_the_code_as_it_was_saved(box: Sandbox) -> None:
    source = "const inner = (x) => x.foo.bar;\n\nasync function onTrack(e) {\n  await null;\n  return inner(e);\n}"
    assert (await call(box, code(source), {})).message.endswith("(reading 'bar') (line 1, column 28)")
    at_top = await call(box, code("function onTrack() {}\n  null.x;"))
    assert (at_top.how, at_top.message[-18:]) == ("bad_code", "(line 2, column 8)")


async def test_a_stack_has_the_lines_of_the_code_and_nothing_of_the_host(box: Sandbox) -> None:
    source = "function inner() {\n  console.log(new Error('e'));\n  return new TypeError('t').stack;\n}\n"
    ended = await call(box, code(source + "async function onTrack() {\n  await null;\n  return inner();\n}"))
    assert value(ended) == "TypeError: t\n    at inner (function.js:3:10)\n    at onTrack (function.js:7:10)"
    assert ended.logs == ["Error: e\n    at inner (function.js:2:15)\n    at onTrack (function.js:7:10)"]


async def test_settings_and_the_event_are_fresh_for_every_invocation(box: Sandbox) -> None:
    function = code(
        "function onTrack(e, s) { const seen = [e.a, s.apiKey]; e.a = s.apiKey = 'changed'; return seen; }"
    )
    for _ in range(3):
        assert value(await call(box, function, {"a": 1})) == [1, "s3cret"]


async def test_settings_follow_the_invocation(box: Sandbox) -> None:
    function = code("function onTrack(e, s) { return s; }")
    for settings in ({"a": 1}, {"a": 1}, {"b": [2]}, {}, {"a": 1}):
        ended = await box.invoke(function, Invocation("onTrack", b"{}", json.dumps(settings, indent=1).encode()))
        assert value(ended) == settings


async def test_globals_of_the_code_survive_between_invocations(box: Sandbox) -> None:
    function = code("let n = 0; function onTrack() { return ++n; }")
    assert [value(await call(box, function)) for _ in range(3)] == [1, 2, 3]


async def test_another_version_is_another_process(box: Sandbox) -> None:
    first = code("let n = 0; function onTrack() { return ++n; }")
    second = msgspec.structs.replace(first, version="2")
    assert [value(await call(box, each)) for each in (first, second, first)] == [1, 1, 2]


async def test_json_of_every_kind_survives(box: Sandbox) -> None:
    function = code("function onTrack(e) { return e; }")
    for document in (
        None,
        True,
        [],
        {},
        "",
        '\u2028\U0001f600"\\\n',
        1.5,
        [{"a": [None]}],
        {"__proto__": 1},
        "é" * 300_00,
    ):
        assert value(await call(box, function, document)) == document


async def test_json_with_line_ends_and_a_body_of_half_a_megabyte_arrive_whole(box: Sandbox) -> None:
    function = code("function onTrack(e) { return [e.a.length, e.b]; }")
    text = json.dumps({"a": "ü" * 500_000, "b": "\r\n"}, indent=2, ensure_ascii=False).encode()
    assert value(await box.invoke(function, Invocation("onTrack", text))) == [500_000, "\r\n"]


async def test_an_argument_that_is_not_json_is_the_fault_of_nobody_else(box: Sandbox) -> None:
    function = code("function onTrack(e) { return e; }")
    assert (await box.invoke(function, Invocation("onTrack", b'{"a":\n'))).how == "thrown"
    assert value(await call(box, function, 1)) == 1


async def test_nothing_returned_is_none_and_null_is_null(box: Sandbox) -> None:
    assert (await call(box, code("function onTrack() {}"))).value is None
    assert (await call(box, code("async function onTrack() {}"))).value is None
    assert (await call(box, code("function onTrack() { return null; }"))).value == b"null"


async def test_onbatch_takes_a_list(box: Sandbox) -> None:
    function = code("async function onBatch(events) { return events.map((e) => ({ status: e.n })); }")
    assert value(await call(box, function, [{"n": 1}, {"n": 2}], "onBatch")) == [{"status": 1}, {"status": 2}]


CONSOLE = """
async function onTrack(event) {
  console.log("start", event.n, { a: [1, { b: 2 }] });
  await new Promise((resolve) => setTimeout(resolve, 5));
  console.error(event.n);
  setTimeout(() => console.log("too late"), 1);
}
"""


async def test_console_output_belongs_to_the_invocation_that_made_it(box: Sandbox) -> None:
    function = code(CONSOLE)
    first, second = await call(box, function, {"n": 1}), await call(box, function, {"n": 2})
    assert first.logs == ["start 1 { a: [ 1, { b: 2 } ] }", "1"]
    assert second.logs == ["start 2 { a: [ 1, { b: 2 } ] }", "2"]


async def test_console_output_is_cut_at_its_limit(box: Sandbox) -> None:
    ended = await call(
        box, code("function onTrack() { for (let i = 0; i < 1e4; i++) console.log('x'.repeat(100)); }")
    )
    assert LIMITS.log_bytes - 200 < sum(len(each) + 1 for each in ended.logs) <= LIMITS.log_bytes + 1


ENDLESS = """
async function onTrack(event) {
  console.log("began", event.how);
  if (event.how === "waits") await new Promise(() => {});
  if (event.how === "grows") for (const all = []; ; ) all.push(new Array(1e5).fill(event));
  for (;;);
}
"""


@pytest.mark.parametrize(("how", "ends"), [("loops", "timeout"), ("waits", "timeout"), ("grows", "killed")])
async def test_what_an_invocation_said_before_it_was_ended_is_kept(how: str, ends: str) -> None:
    limits = msgspec.structs.replace(SMALL, seconds=0.3 if ends == "timeout" else 20.0)
    async with sandbox(limits) as box:
        ended = await call(box, code(ENDLESS), {"how": how})
    assert (ended.how, ended.logs) == (ends, [f"began {how}"])


async def test_what_was_said_before_a_run_that_others_brought_down_is_not_told_twice() -> None:
    source = """
    async function onTrack(event) {
      console.log("began", event.n);
      if (event.n === 1) { await new Promise((resolve) => setTimeout(resolve, 50)); for (;;); }
      await new Promise((resolve) => setTimeout(resolve, 100));
      return event.n;
    }
    """
    limits = msgspec.structs.replace(SMALL, seconds=0.5)
    async with sandbox(limits) as box:
        function = code(source)
        loops, other = await asyncio.gather(call(box, function, {"n": 1}), call(box, function, {"n": 2}))
    assert (loops.how, other.how) == ("timeout", "returned")
    assert (loops.logs, other.logs) == (["began 1"], ["began 2"])


CACHE = """
let made = 0;
async function onTrack({ key, ms }) {
  return await cache.load(key, ms, async () => ++made);
}
async function onPage({ key }) {
  await cache.delete(key);
}
const onGroup = () => cache.load("no lifetime", async () => ++made);
"""


async def test_the_cache_keeps_until_it_expires_or_is_told_not_to(box: Sandbox) -> None:
    function = code(CACHE)
    for key, ms, expected in (
        ("a", 60_000, 1),
        ("a", 60_000, 1),
        ("b", -1, 2),
        ("b", -1, 2),
        ("c", 0, 3),
        ("c", 0, 4),
    ):
        assert value(await call(box, function, {"key": key, "ms": ms})) == expected
    await call(box, function, {"key": "a"}, "onPage")
    assert value(await call(box, function, {"key": "a", "ms": 1})) == 5
    assert [value(await call(box, function, {}, "onGroup")) for _ in range(2)] == [6, 6]


SOURCE = """
async function onRequest(request, settings) {
  const body = await request.json();
  Segment.track({ event: body.name, userId: "u", type: "forged", properties: { a: 1 } });
  await null;
  Segment.identify({ userId: "u" });
  Segment.set({ collection: "c", id: "1", properties: {} });
  return [request.headers.get("X-Key"), request.url.searchParams.get("q"), await request.text(), settings.apiKey];
}
"""


async def test_a_source_function_reads_a_request_and_emits_events(box: Sandbox) -> None:
    argument = {"body": '{"name":"Hi"}', "headers": {"x-key": "k"}, "url": "https://x.test/?q=1"}
    ended = await call(box, code(SOURCE, "SOURCE"), argument, "onRequest")
    assert value(ended) == ["k", "1", '{"name":"Hi"}', "s3cret"]
    assert [json.loads(each) for each in ended.emitted] == [
        {"event": "Hi", "userId": "u", "type": "track", "properties": {"a": 1}},
        {"userId": "u", "type": "identify"},
        {"collection": "c", "id": "1", "properties": {}, "type": "set"},
    ]


async def test_what_was_emitted_before_a_throw_is_told(box: Sandbox) -> None:
    source = "function onRequest() { Segment.track({ event: 'a' }); throw new RetryError('later'); }"
    ended = await call(
        box, code(source, "SOURCE"), {"body": "", "headers": {}, "url": "https://x.test/"}, "onRequest"
    )
    assert (ended.how, ended.error, len(ended.emitted)) == ("thrown", "RetryError", 1)


@pytest.mark.parametrize("given", ["1", "null", "[]", "'text'", "undefined"])
async def test_segment_takes_objects_alone(box: Sandbox, given: str) -> None:
    source = f"function onRequest() {{ Segment.track({given}); }}"
    ended = await call(
        box, code(source, "SOURCE"), {"body": "", "headers": {}, "url": "https://x.test/"}, "onRequest"
    )
    assert (ended.how, ended.error) == ("thrown", "TypeError")


async def test_only_source_functions_have_segment(box: Sandbox) -> None:
    assert value(await call(box, code("function onTrack() { return typeof Segment; }"))) == "undefined"


BUILTINS = """
async function onTrack() {
  const digest = crypto.createHash("sha256").update("x").digest("hex").slice(0, 8);
  const subtle = Buffer.from(await crypto.subtle.digest("SHA-256", Buffer.from("x"))).toString("hex").slice(0, 8);
  const zipped = zlib.zlib.gunzipSync(zlib.zlib.gzipSync("abc")).toString();
  return [digest, subtle, crypto.randomUUID().length, zipped, btoa("a"), atob("YQ=="), new URL("http://a/b").pathname];
}
"""


async def test_the_documented_built_ins_are_there(box: Sandbox) -> None:
    assert value(await call(box, code(BUILTINS))) == ["2d711642", "2d711642", 36, "abc", "YQ==", "a", "/b"]
