"""Functions that mean harm. Each ends as it should, nothing gets out, and a function beside it does not notice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from mainstem.sandbox import Ended, Sandbox
from sandbox.running import SMALL, call, code, sandbox, until, value

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Case(msgspec.Struct, frozen=True):
    """`body` is that of onTrack, unless `source` is the whole code. It ends in one of `ends`; then `message` occurs
    in its message, or `returns` is the JSON of what it returned."""

    name: str
    body: str = ""
    source: str = ""
    ends: tuple[str, ...] = ("returned",)
    message: str = ""
    returns: str | None = None


REFUSED = '"refused"'
IMPORT = "try {{ await import({0}); return 'imported' }} catch (e) {{ return 'refused' }}"
FETCH = "try {{ const r = await fetch({0}); return r.status }} catch (e) {{ return e.message }}"

TIME = (
    Case("an endless loop", "for (;;);", ends=("timeout",)),
    Case("an endless loop after a timer", "await new Promise((r) => setTimeout(r, 1)); for (;;);", ends=("timeout",)),
    Case("endless microtasks", "for (;;) await null;", ends=("timeout",)),
    Case("endless nested microtasks", "const f = () => queueMicrotask(f); f();", ends=("timeout",)),
    Case("endless timers", "const f = () => setTimeout(f); f(); await new Promise(() => {});", ends=("timeout",)),
    Case("a promise that is never kept", "await new Promise(() => {});", ends=("timeout",)),
    Case("a then that never calls back", "return { then() {} };", ends=("timeout",)),
    Case("a catastrophic expression", "return /^(a|a)*$/.test('a'.repeat(50) + 'b');", ends=("timeout",)),
    Case("a wait on shared memory", "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);",
         ends=("timeout",)),
    Case("a loop in toJSON", "return { toJSON() { for (;;); } };", ends=("timeout",)),
    Case("a loop in a getter of what is thrown", "throw { get message() { for (;;); } };", ends=("timeout",)),
    Case("requests without end", "for (;;) { fetch('http://127.0.0.1:1/').catch(() => {}); await null; }",
         ends=("timeout", "killed")),
    Case("requests without end, with turns",
         "for (;;) { fetch('http://127.0.0.1:1/').catch(() => {}); await new Promise((r) => setTimeout(r)); }",
         ends=("timeout", "killed")),
    Case("a loop at the top", source="for (;;);\nfunction onTrack() {}", ends=("timeout",), message="loaded"),
    Case("an endless wait at the top", source="await new Promise(() => {});\nfunction onTrack() {}",
         ends=("timeout",), message="loaded"),
    Case("endless console output", "for (;;) console.log('x'.repeat(1000));", ends=("timeout",)),
    Case("a million requests", "for (let i = 0; i < 1e6; i++) fetch('http://127.0.0.1:1/').catch(() => {});",
         ends=("timeout", "killed")),
    Case("endless fields in headers", "const h = new Headers(); for (let i = 0;; i++) h.set('a' + i, 'b');",
         ends=("timeout", "killed")),
)  # fmt: skip
MEMORY = (
    Case("a heap bomb", "const a = []; for (;;) a.push(new Array(1000).fill(a.length));", ends=("killed",),
         message="memory"),
    Case("a heap bomb of strings", "let s = 'x'; const a = []; for (;;) { s += s + a.length; a.push(s + '!'); }",
         ends=("killed", "thrown")),
    Case("an ArrayBuffer bomb", "const a = []; for (;;) a.push(new Uint8Array(1e7).fill(1));",
         ends=("killed", "thrown")),
    Case("a WebAssembly bomb",
         "const a = []; for (;;) { const m = new WebAssembly.Memory({initial: 400});"
         " new Uint8Array(m.buffer).fill(1); a.push(m); }", ends=("killed", "thrown")),
    Case("a bomb of buffers that wait",
         "const a = []; for (;;) { a.push(new Uint8Array(1e7).fill(1)); await new Promise((r) => setTimeout(r)); }",
         ends=("killed", "thrown")),
    Case("200 MB returned", "return 'x'.repeat(2e8);", ends=("killed", "thrown")),
    Case("a large object returned", "return Array(30000).fill('0123456789');", ends=("thrown",), message="more than"),
    Case("a large message thrown", "throw new Error('x'.repeat(1e6));", ends=("thrown",), message="xxx"),
)  # fmt: skip
ESCAPES = (
    Case("process.exit", "process.exit(0)", ends=("thrown",), message="process is not defined"),
    Case("Deno.exit", "Deno.exit(0)", ends=("thrown",), message="Deno is not defined"),
    Case("exit by the global object", "return [typeof globalThis.process, typeof globalThis.Deno, typeof close];",
         returns='["undefined","undefined","undefined"]'),
    Case("exit by a constructor", "return new (async () => {}).constructor('return typeof Deno + typeof process')();",
         returns='"undefinedundefined"'),
    Case("exit by this", "return (function () { return typeof this.Deno + typeof this.process })();",
         returns='"undefinedundefined"'),
    Case("exit by a module", IMPORT.format("'node:process'"), returns=REFUSED),
    Case("exit by a module of data",
         IMPORT.format("'data:text/javascript,import p from \"node:process\";p.exit(0)'"), returns=REFUSED),
    Case("exit by a frame of the stack",
         "Error.prepareStackTrace = (e, s) => s.map((f) => [typeof f.getThis(), typeof f.getFunction()]);"
         " return [...new Set(new Error().stack.slice(1).flat())];", ends=("returned",)),
    Case("a worker", "return typeof Worker;", returns='"undefined"'),
    Case("a worker by a module", IMPORT.format("'node:worker_threads'"), returns=REFUSED),
    Case("workers without end", "for (let i = 0; i < 1000; i++) new Worker('data:text/javascript,for(;;);');",
         ends=("thrown",), message="Worker is not defined"),
    Case("a new realm", "return [typeof ShadowRealm, typeof require];", returns='["undefined","undefined"]'),
    Case("a new realm by a module", IMPORT.format("'node:vm'"), returns=REFUSED),
    Case("a file", IMPORT.format("'file:///etc/passwd'"), returns=REFUSED),
    Case("a file as text", IMPORT.format("'file:///etc/passwd', { with: { type: 'text' } }"), returns=REFUSED),
    Case("a file by a module of data",
         IMPORT.format("'data:text/javascript,export * from \"file:///etc/passwd\"'"), returns=REFUSED),
    Case("a file by fetch", FETCH.format("'file:///etc/passwd'"),
         returns='"fetch failed: only http and https are possible"'),
    Case("a file by node:fs", IMPORT.format("'node:fs'"), returns=REFUSED),
    Case("a file by fs", IMPORT.format("'fs/promises'"), returns=REFUSED),
    Case("a built-in module by the module loader", IMPORT.format("'node:module'"), returns=REFUSED),
    Case("the environment", IMPORT.format("'node:os'"), returns=REFUSED),
    Case("a subprocess", IMPORT.format("'node:child_process'"), returns=REFUSED),
    Case("a native library", IMPORT.format("'node:ffi'"), returns=REFUSED),
    Case("sockets", IMPORT.format("'node:net'"), returns=REFUSED),
    Case("the inspector", IMPORT.format("'node:inspector'"), returns=REFUSED),
    Case("the inside of Deno", IMPORT.format("'ext:core/mod.js'"), returns=REFUSED),
    Case("a remote module", IMPORT.format("'https://example.com/a.js'"), returns=REFUSED),
    Case("a package of npm", IMPORT.format("'npm:lodash'"), returns=REFUSED),
    Case("a package of JSR", IMPORT.format("'jsr:@std/path'"), returns=REFUSED),
    Case("storage", "return [typeof localStorage, typeof caches, typeof WebSocket, typeof BroadcastChannel];",
         returns='["undefined","undefined","undefined","undefined"]'),
    Case("a prompt", "return [typeof prompt, typeof alert, typeof confirm];",
         returns='["undefined","undefined","undefined"]'),
    Case("secrets left by the bridge", "return Object.keys(await import('bridge:async_hooks')).includes('Deno');",
         returns="false"),
)  # fmt: skip
PROTOTYPES = (
    Case("Object.prototype gets a then", "Object.prototype.then = (r) => r(666); return 1;", returns="1"),
    Case("Array.prototype gets a then", "Array.prototype.then = (r) => r(666); return 1;", returns="1"),
    Case("Promise.prototype.then is replaced", "try { Promise.prototype.then = () => {}; } catch {} return 1;",
         returns="1"),
    Case("the constructor of promises is replaced",
         "try { Object.defineProperty(Promise.prototype, 'constructor', { get() { for (;;); } }); } catch {}"
         " return 1;", returns="1"),
    Case("JSON is replaced", "JSON.stringify = JSON.parse = () => 'forged'; return 1;", returns="1"),
    Case("everything gets a toJSON",
         "Object.prototype.toJSON = String.prototype.toJSON = Array.prototype.toJSON = () => 666; return 1;",
         returns="1"),
    Case("strings are replaced",
         "for (const m of ['slice', 'indexOf', 'toWellFormed', 'split']) String.prototype[m] = () => ']'; return 1;",
         returns="1"),
    Case("arrays are replaced",
         "for (const m of ['push', 'map', 'join', 'forEach']) Array.prototype[m] = () => { throw 1 };"
         " try { Array.prototype[Symbol.iterator] = () => { throw 1 }; } catch {} return 1;", returns="1"),
    Case("call and apply are replaced",
         "for (const m of ['call', 'apply', 'bind']) Function.prototype[m] = () => { throw 1 }; return 1;",
         returns="1"),
    Case("indices have setters",
         "for (let i = 0; i < 9; i++) Object.defineProperty(Object.prototype, i, { set() { throw 1 } }); return 1;",
         returns="1"),
    Case("maps are replaced", "Map.prototype.get = Map.prototype.set = () => { throw 1 }; return 1;", returns="1"),
    Case("the published errors are replaced",
         "globalThis.RetryError = class extends Error {}; throw new EventNotSupported('x');", ends=("thrown",)),
    Case("fields have getters",
         "for (const k of ['done', 'logs', 'emitted']) Object.defineProperty(Object.prototype, k,"
         " { get() { throw 1 }, set() { throw 1 } }); return 1;", returns="1"),
)  # fmt: skip
VALUES = (
    Case("a getter that throws", "return { get a() { throw new Error('no') } };", ends=("thrown",), message="no"),
    Case("a toJSON that throws nothing readable", "return { toJSON() { throw Object.create(null) } };",
         ends=("thrown",), message="not JSON"),
    Case("a toJSON that returns another", "return { toJSON: () => ({ a: 1 }) };", returns='{"a":1}'),
    Case("a cycle", "const a = {}; a.a = a; return a;", ends=("thrown",), message="not JSON"),
    Case("a BigInt", "return 1n;", ends=("thrown",), message="not JSON"),
    Case("a function", "return () => 1;", returns="null"),
    Case("a symbol", "return Symbol();", returns="null"),
    Case("a proxy that throws", "return new Proxy({}, { ownKeys() { throw new Error('trap') } });",
         ends=("thrown",), message="trap"),
    Case("a proxy as promise", "return new Proxy({}, { get(_, k) { throw new Error('trap ' + String(k)) } });",
         ends=("thrown",), message="trap then"),
    Case("a revoked proxy", "const p = Proxy.revocable({}, {}); p.revoke(); return p.proxy;", ends=("thrown",)),
    Case("deep nesting", "let a = []; for (let i = 0; i < 1e6; i++) a = [a]; return a;", ends=("thrown",)),
    Case("half a surrogate pair thrown", r"throw new Error('\ud800');", ends=("thrown",), message="\ufffd"),
    Case("half a surrogate pair logged", r"console.log('\udc00'); return 1;", returns="1"),
    Case("a string thrown", "throw 'text';", ends=("thrown",), message="text"),
    Case("nothing thrown", "throw undefined;", ends=("thrown",), message="undefined"),
    Case("a symbol thrown", "throw Symbol('s');", ends=("thrown",), message="Symbol(s)"),
    Case("a proxy thrown", "throw new Proxy({}, { get() { throw 1 }, getPrototypeOf() { throw 1 } });",
         ends=("thrown",), message="cannot be read"),
    Case("a function thrown", "throw () => 1;", ends=("thrown",)),
    Case("a name that is no text", "throw Object.assign(new Error('m'), { name: { toString() { for (;;); } } });",
         ends=("thrown",), message="m"),
    Case("an unhandled rejection", "Promise.reject(new Error('lost')); return 1;", returns="1"),
    Case("a timer that throws after the return", "setTimeout(() => { throw new Error('late') }); return 1;",
         returns="1"),
    Case("a microtask that throws", "queueMicrotask(() => { throw new Error('micro') }); return 1;", returns="1"),
    Case("a listener for everything",
         "addEventListener('error', (e) => e.stopImmediatePropagation()); setTimeout(() => { throw 1 }); return 1;",
         ends=("thrown", "returned")),
)  # fmt: skip
GENEROUS = msgspec.structs.replace(SMALL, seconds=20.0)
HASTY = msgspec.structs.replace(SMALL, seconds=0.7)
POLLUTED = """
async function onPage(event) {
  console.log("logged", { a: 1 });
  await new Promise((resolve) => setTimeout(resolve, 1));
  return 7;
}
"""


def named(case: Case) -> str:
    """For pytest."""
    return case.name


def hostile(case: Case) -> str:
    """The case as code."""
    return case.source or f"async function onTrack(event, settings) {{ {case.body} }}"


class Street:
    """A sandbox where a function lives that every case has for a neighbour."""

    def __init__(self, box: Sandbox) -> None:
        self._box = box
        self._neighbour = code("async function onTrack(e) { await null; return { ...e, seen: true }; }")

    async def end(self, case: Case) -> Ended:
        """How a case ends, while the function beside it goes on as ever."""
        ended, *beside = await asyncio.gather(
            call(self._box, code(hostile(case))), *(call(self._box, self._neighbour, {"n": n}) for n in range(3))
        )
        assert [value(each) for each in beside] == [{"n": n, "seen": True} for n in range(3)]
        return ended


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hasty() -> AsyncIterator[Street]:
    """Less than a second for each."""
    async with sandbox(HASTY) as box:
        yield Street(box)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def patient() -> AsyncIterator[Street]:
    """Time enough for memory to be what ends a case."""
    async with sandbox(GENEROUS) as box:
        yield Street(box)


def judge(case: Case, ended: Ended) -> None:
    """It ended as the case says, and left no more than it may."""
    assert ended.how in case.ends, ended
    assert case.message in ended.message, ended
    assert len(ended.message) <= 1000
    assert sum(map(len, ended.logs)) <= SMALL.log_bytes
    if case.returns is not None:
        assert (ended.value or b"null").decode() == case.returns


@pytest.mark.parametrize("case", TIME, ids=named)
async def test_time_is_limited(hasty: Street, case: Case) -> None:
    judge(case, await hasty.end(case))


@pytest.mark.parametrize("case", MEMORY, ids=named)
async def test_memory_and_output_are_limited(patient: Street, case: Case) -> None:
    judge(case, await patient.end(case))


@pytest.mark.parametrize("case", [*ESCAPES, *VALUES], ids=named)
async def test_nothing_gets_out(patient: Street, case: Case) -> None:
    judge(case, await patient.end(case))


@pytest.mark.parametrize("case", PROTOTYPES, ids=named)
async def test_what_is_done_to_prototypes_does_not_reach_the_bridge(case: Case) -> None:
    polluter = code(hostile(case) + POLLUTED)
    async with sandbox(GENEROUS) as box:
        judge(case, await call(box, polluter))
        after = await call(box, polluter, handler="onPage")
    assert after.how == "returned", after


WATCHED = r"""
const seen = [], { apply, getOwnPropertyDescriptor, defineProperty, ownKeys } = Reflect;
const { isView } = ArrayBuffer, push = seen.push.bind(seen), decoder = new TextDecoder();
const decode = decoder.decode.bind(decoder), raw = Uint8Array;
let isOn = false, isInside = false;
function note(value) {
  if (typeof value === "string") push(value);
  else if (isView(value)) push(decode(new raw(value.buffer)));
}
function watch(holder) {
  for (const key of ownKeys(holder)) {
    const found = getOwnPropertyDescriptor(holder, key);
    for (const part of ["value", "get", "set"]) {
      const original = found[part];
      if (typeof original !== "function" || !found.configurable || key === "constructor") continue;
      found[part] = function (...values) {
        if (isOn && !isInside) {
          isInside = true;
          note(this);
          for (let i = 0; i < values.length; i++) note(values[i]);
          isInside = false;
        }
        return new.target ? Reflect.construct(original, values, new.target) : apply(original, this, values);
      };
    }
    try { defineProperty(holder, key, found); } catch { }
  }
}
function onTrack() {
  const typed = Object.getPrototypeOf(Uint8Array.prototype);
  defineProperty(Uint8Array, Symbol.species, { get() { return class extends Uint8Array {
    constructor(...values) { super(...values); if (isOn) note(this); } }; } });
  for (const each of [String, Array, Map, Set, WeakMap, WeakSet, Promise, TextDecoder, TextEncoder, Uint8Array,
    Headers, Request, Response, Number, Object, Function, ArrayBuffer, AbortSignal, EventTarget, RegExp]) {
    watch(each.prototype);
  }
  for (const each of [typed, JSON, Object, Array, Math, Reflect, String, performance, globalThis]) watch(each);
  isOn = true;
}
async function onPage() {
  await new Promise((resolve) => setTimeout(resolve, 1));
  try { await fetch("http://127.0.0.1:1/"); } catch { }
  isOn = false;
  return seen.join("\n").replace(/[^ -~]+/g, " ");
}
"""


async def test_user_code_that_watches_every_built_in_sees_no_secret_of_the_bridge() -> None:
    async with sandbox(msgspec.structs.replace(GENEROUS, output_bytes=16 * 1024 * 1024)) as box:
        watcher = code(WATCHED)
        assert (await call(box, watcher)).how == "returned"
        seen = value(await call(box, watcher, handler="onPage"))
        secrets = [process._secret for process in box._processes]
    assert "http://127.0.0.1:1/" in seen, "the watch is on"
    assert secrets
    assert not any(secret in seen for secret in secrets)


FORGED = (
    b'["%(guess)b","e","%(id)b","r","","",[],1,[],"forged"]\n',
    b'["e"]\n',
    b"hello\n",
    b'["%(secret)b","e","0000000000000000","r","","",[],1,[],"forged"]\n',
    b'["%(secret)b","e","%(id)b","r"]\n',
    b'["%(secret)b","s","0000000000000000"]\n',
    b'["%(secret)b","x"]\n',
    b'["%(secret)b","e","%(id)b","r","","",[],1,[],{"a":]\n',
    b"x" * (8 * SMALL.output_bytes + 64 * 1024 + 1),
)


@pytest.mark.parametrize("line", FORGED, ids=lambda line: line[:40].decode())
async def test_a_forged_line_ends_the_process_and_not_the_host(line: bytes) -> None:
    async with sandbox(GENEROUS) as box:
        waits = code("async function onTrack() { await new Promise(() => {}); }\nfunction onPage() { return 1; }")
        assert value(await call(box, waits, handler="onPage")) == 1
        pending = asyncio.create_task(call(box, waits))
        (process,) = box._processes
        await until(lambda: any(each.began for each in process._calls.values()))
        (id_,) = process._calls
        words = {b"guess": b"0" * 32, b"id": id_.encode(), b"secret": process._secret.encode()}
        process.pipe_data_received(1, line % words if b"%" in line else line)
        ended = await pending
        assert ended.how == "killed", ended
        assert value(await call(box, waits, handler="onPage")) == 1, "in a new process"
