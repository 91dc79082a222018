// What stands between a user's function and this program, inside the function's own process.
//
// It reads lines from stdin and writes lines to stdout; process.py is the other end and says what they mean.
// User code shares this realm, so everything used here after it was loaded is captured before, no promise of
// ours is awaited by a way that user code can bend, and no line goes out without a secret that it cannot read.
// The process has no permission whatsoever: what gets past this file gets nowhere.

import { AsyncLocalStorage } from "bridge:async_hooks";
import { httpsOver } from "./https.js";

const { bind, call } = Function.prototype;
const uncurry = bind.bind(call);
const indexOf = uncurry(String.prototype.indexOf);
const slice = uncurry(String.prototype.slice);
const wellFormed = uncurry(String.prototype.toWellFormed);
const toBase64 = uncurry(Uint8Array.prototype.toBase64);
const fromBase64 = Uint8Array.fromBase64;
const typedArray = Object.getPrototypeOf(Uint8Array.prototype);
const lengthOf = uncurry(Object.getOwnPropertyDescriptor(typedArray, "byteLength").get);
const bufferOf = uncurry(Object.getOwnPropertyDescriptor(typedArray, "buffer").get);
const lastIndexOf = uncurry(Uint8Array.prototype.lastIndexOf);
const copyInto = uncurry(Uint8Array.prototype.set);
const fill = uncurry(Uint8Array.prototype.fill);
const then = uncurry(Promise.prototype.then);
const isInstance = uncurry(Function.prototype[Symbol.hasInstance]);
const mapGet = uncurry(Map.prototype.get);
const mapSet = uncurry(Map.prototype.set);
const mapDelete = uncurry(Map.prototype.delete);
const mapKeys = uncurry(Map.prototype.keys);
const mapSize = uncurry(Object.getOwnPropertyDescriptor(Map.prototype, "size").get);
const nextKey = uncurry(new Map().keys().next);
const weakAdd = uncurry(WeakSet.prototype.add);
const weakHas = uncurry(WeakSet.prototype.has);
const placeGet = uncurry(WeakMap.prototype.get);
const placeSet = uncurry(WeakMap.prototype.set);
const { parse, stringify } = JSON;
const { assign, create, defineProperty, freeze, getOwnPropertyNames, keys: keysOf } = Object;
const sort = uncurry(Array.prototype.sort);
const { isArray } = Array;
const { round } = Math;
const NativeMap = Map, NativeString = String, NativePromise = Promise, NativeError = Error;
const NativeTypeError = TypeError, NativeRequest = Request, NativeResponse = Response, NativeUrl = URL;
const NativeHeaders = Headers, NativeUint8Array = Uint8Array;
const NativeFields = URLSearchParams, { fromEntries } = Object;
const AsyncFunction = (async function () {}).constructor;
const NativeFunction = Function;
const later = setImmediate;
const startTimer = setTimeout, stopTimer = clearTimeout;
const now = performance.now.bind(performance);
const inspect = Deno.inspect;
const exit = Deno.exit;
const { decode, encode, read, runMicrotasks, writeSync } = Deno[Deno.internal].core; // they touch no prototype on their way
const contexts = new AsyncLocalStorage();
const inContext = contexts.run.bind(contexts);
const context = contexts.getStore.bind(contexts);
const STDIN = 0, STDOUT = 1;
const MESSAGE_MAX = 1000, CACHED_MAX = 1000;
const SCRIPT = "function.js";
const HEADER_LINES = 2; // V8's own, above the body of a function that is made of text
const HANDLERS = [
  "onTrack", "onIdentify", "onPage", "onScreen", "onGroup", "onAlias", "onDelete", "onBatch", "onRequest",
];
const KEPT = new Set([
  "Object", "Function", "Array", "Number", "parseFloat", "parseInt", "Infinity", "NaN", "undefined", "Boolean",
  "String", "Symbol", "Date", "Promise", "RegExp", "Error", "AggregateError", "EvalError", "RangeError",
  "ReferenceError", "SyntaxError", "TypeError", "URIError", "globalThis", "JSON", "Math", "Intl", "ArrayBuffer",
  "Atomics", "Uint8Array", "Int8Array", "Uint16Array", "Int16Array", "Uint32Array", "Int32Array", "BigUint64Array",
  "BigInt64Array", "Uint8ClampedArray", "Float16Array", "Float32Array", "Float64Array", "DataView", "Map", "BigInt",
  "Set", "Iterator", "WeakMap", "WeakSet", "Proxy", "Reflect", "FinalizationRegistry", "WeakRef", "decodeURI",
  "decodeURIComponent", "encodeURI", "encodeURIComponent", "escape", "unescape", "eval", "isFinite", "isNaN",
  "SuppressedError", "DisposableStack", "AsyncDisposableStack", "SharedArrayBuffer", "WebAssembly", "Temporal",
  "queueMicrotask", "AbortController", "AbortSignal", "Blob", "File", "FormData", "Headers", "Request", "Response",
  "URL", "URLSearchParams", "TextDecoder", "TextEncoder", "TextDecoderStream", "TextEncoderStream",
  "CompressionStream", "DecompressionStream", "ReadableStream", "WritableStream", "TransformStream",
  "DOMException", "Event", "EventTarget", "CustomEvent", "performance", "atob", "btoa", "structuredClone",
  "crypto", "CryptoKey", "SubtleCrypto", "setTimeout", "clearTimeout", "setInterval", "clearInterval", "setImmediate",
  "clearImmediate", "Buffer", "global",
]);

let secret = "", kind = "", outputMax = 0, logMax = 0, sourceLines = 0;
let handlers = create(null);
let outgoing = "";
let lastSettings = "{}";
let fetches = 0;
const waitingFetches = new NativeMap();
const missing = new WeakSet();
const places = new WeakMap(); // of errors whose stack was asked for

// Lines out

function put(line) {
  outgoing += line;
}

function flush() {
  if (!outgoing) return;
  let bytes = encode(outgoing);
  outgoing = "";
  const length = lengthOf(bytes);
  for (let sent = 0; sent < length; bytes = new NativeUint8Array(bufferOf(bytes), sent)) {
    sent += writeSync(STDOUT, bytes);
  }
}

// Errors, logs

class EventNotSupported extends Error {}
class InvalidEventPayload extends Error {}
class ValidationError extends Error {}
class RetryError extends Error {}
class DropEvent extends Error {}
const PUBLISHED = { __proto__: null, EventNotSupported, InvalidEventPayload, ValidationError, RetryError, DropEvent };
const PUBLISHED_NAMES = getOwnPropertyNames(PUBLISHED);
for (const name of PUBLISHED_NAMES) {
  defineProperty(PUBLISHED[name].prototype, "name", { value: name, configurable: true, writable: true });
}

function bounded(text, limit) {
  return wellFormed(slice(text, 0, limit));
}

function nameOf(thrown) {
  for (let i = 0; i < PUBLISHED_NAMES.length; i++) {
    if (isInstance(PUBLISHED[PUBLISHED_NAMES[i]], thrown)) return PUBLISHED_NAMES[i];
  }
  const name = thrown.name;
  return typeof name === "string" && name ? name : "Error";
}

function describe(thrown) {
  let error = "Error", message = "something was thrown that cannot be read";
  try {
    if (thrown !== null && (typeof thrown === "object" || typeof thrown === "function")) {
      error = bounded(nameOf(thrown), 100);
      const text = thrown.message;
      message = bounded(typeof text === "string" ? text : inspect(thrown, { __proto__: null, depth: 1 }), MESSAGE_MAX);
    } else {
      message = bounded(NativeString(thrown), MESSAGE_MAX);
    }
  } catch {
    // its getters throw: what is set stays
  }
  return { __proto__: null, error, message };
}

// Where in the function's own code something was thrown, as parse.py tells it of what does not parse; "" for what has
// no stack.
function placeOf(thrown) {
  try {
    if (thrown === null || typeof thrown !== "object") return "";
    thrown.stack; // which has it made, if it was not
    const place = placeGet(places, thrown);
    return place ? ` (line ${place.line}, column ${place.column})` : "";
  } catch {
    return "";
  }
}

function located(thrown) {
  const { error, message } = describe(thrown);
  const place = placeOf(thrown);
  return { __proto__: null, error, message: slice(message, 0, MESSAGE_MAX - place.length) + place };
}

// A stack without what is not the function's: its lines are those of the code as it was saved.
function stackOf(error, sites) {
  let text = headOf(error);
  for (let i = 0; i < sites.length; i++) {
    const site = sites[i];
    if (site.getScriptNameOrSourceURL() !== SCRIPT) continue;
    const line = site.getLineNumber() - HEADER_LINES, column = site.getColumnNumber();
    if (!(line >= 1 && line <= sourceLines)) continue;
    if (!placeGet(places, error)) placeSet(places, error, { __proto__: null, line, column });
    const name = site.getFunctionName();
    const where = `${SCRIPT}:${line}:${column}`;
    text += `\n    at ${site.isAsync() ? "async " : ""}${name ? `${name} (${where})` : where}`;
  }
  return text;
}

// As Error.prototype.toString has it, but that nothing of the function's is called.
function headOf(error) {
  try {
    const { name, message } = error;
    const head = typeof name === "string" && name ? name : "Error";
    return typeof message === "string" && message ? `${head}: ${message}` : head;
  } catch {
    return "Error";
  }
}

function log(record, values) {
  if (!record || record.done || record.logged >= logMax) return;
  let line = "";
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    const text = typeof value === "string"
      ? value
      : inspect(value, { __proto__: null, depth: 4, iterableLimit: 100, strAbbreviateSize: logMax });
    line += (i ? " " : "") + slice(text, 0, logMax);
    if (line.length >= logMax) break;
  }
  line = bounded(line, logMax - record.logged);
  record.logged += line.length + 1;
  put(`["${secret}","c","${record.id}",${stringify(line)}]\n`);
  flush(); // what it said is to be known also of one that never ends
}

const say = (...values) => log(context(), values);
const quiet = () => {};
const consoleOfFunction = {
  log: say, info: say, warn: say, error: say, debug: say, trace: say, dir: say, table: say,
  assert: (holds, ...values) => {
    if (!holds) log(context(), values);
  },
  group: say, groupCollapsed: say, groupEnd: quiet, count: quiet, countReset: quiet, time: quiet, timeEnd: quiet,
  timeLog: quiet, clear: quiet,
};

// Invocations

function finish(record, how, error, message, value) {
  if (record.done) return;
  record.done = true;
  const milliseconds = round((now() - record.began) * 1000) / 1000;
  put(
    `["${secret}","e","${record.id}","${how}",${stringify(error)},${stringify(message)},` +
      `${milliseconds},[${record.emitted}]${value === undefined ? "" : "," + value}]\n`,
  );
  if (!record.isFirstTurn) flush();
}

function finishThrown(record, thrown) {
  const { error, message } = located(thrown);
  const isMissing = thrown !== null && typeof thrown === "object" && weakHas(missing, thrown);
  finish(record, isMissing ? "b" : "t", error, message);
}

function finishReturned(record, value) {
  let text;
  try {
    text = value === undefined ? undefined : stringify(value);
  } catch (thrown) {
    finish(record, "t", "TypeError", bounded(`what it returned is not JSON: ${describe(thrown).message}`, MESSAGE_MAX));
    return;
  }
  if (text !== undefined && text.length > outputMax) {
    finish(record, "t", "Error", `it returned more than ${outputMax} bytes`);
  } else {
    finish(record, "r", "", "", text);
  }
}

function argumentOf(handler, text) {
  const argument = parse(text);
  return handler === "onRequest" ? new IncomingRequest(argument) : argument;
}

// As payloads arrive at deployed source functions. Source: Functions documentation, "Source functions".
function alphabetized(value) {
  if (value === null || typeof value !== "object") return value;
  if (isArray(value)) {
    for (let i = 0; i < value.length; i++) value[i] = alphabetized(value[i]);
    return value;
  }
  const sorted = {};
  const names = sort(keysOf(value));
  for (let i = 0; i < names.length; i++) {
    const inner = alphabetized(value[names[i]]);
    defineProperty(sorted, names[i], { __proto__: null, value: inner, writable: true, enumerable: true, configurable: true });
  }
  return sorted;
}

// json() returns no promise, and reads forms too: functions are written so. Source: Functions documentation, "Source
// functions"; published templates.
class IncomingRequest {
  #body;
  #isForm;
  constructor({ body, headers, url }) {
    this.#body = body;
    this.headers = new NativeHeaders(headers);
    this.#isForm = /^\s*application\/x-www-form-urlencoded/i.test(this.headers.get("content-type") ?? "");
    this.url = new NativeUrl(url);
    this.method = "POST";
  }
  json() {
    return alphabetized(this.#isForm ? fromEntries(new NativeFields(this.#body)) : parse(this.#body));
  }
  text() {
    return this.#body;
  }
}

function invoke(id, handler, settings, argument) {
  const record = {
    __proto__: null, id, done: false, isFirstTurn: true, began: now(), logged: 0, emitted: "",
  };
  put(`["${secret}","s","${id}"]\n`);
  flush();
  let value, isObject;
  try {
    const first = argumentOf(handler, argument), second = parse(settings);
    value = inContext(record, handlers[handler], first, second);
    isObject = value !== null && (typeof value === "object" || typeof value === "function");
  } catch (thrown) {
    finishThrown(record, thrown);
  }
  if (isObject) {
    then(
      new NativePromise((resolve) => resolve(value)),
      (result) => finishReturned(record, result),
      (thrown) => finishThrown(record, thrown),
    );
  } else {
    finishReturned(record, value);
  }
  runMicrotasks();
  record.isFirstTurn = false;
  if (!record.done) put(`["${secret}","w","${id}"]\n`);
}

// Lines in

let unread = "";
let isAwake = false;
const chunkBuffer = new ArrayBuffer(256 * 1024);
const chunk = new Uint8Array(chunkBuffer);
let carried = new Uint8Array(0);

function pump() {
  then(read(STDIN, chunk), (count) => {
    if (!count) exit(0);
    take(new NativeUint8Array(chunkBuffer, 0, count), count);
    fill(chunk, 0, 0, count);
    pump();
  }, () => exit(1));
}

// Decode up to the last line end, so that no character is cut; the rest waits for what follows.
function take(bytes, count) {
  const end = lastIndexOf(bytes, 10) + 1;
  const size = lengthOf(carried);
  const whole = new NativeUint8Array(size + (end || count));
  copyInto(whole, carried);
  copyInto(whole, new NativeUint8Array(chunkBuffer, 0, end || count), size);
  if (!end) {
    carried = whole;
    return;
  }
  carried = new NativeUint8Array(count - end);
  copyInto(carried, new NativeUint8Array(chunkBuffer, end, count - end));
  unread += decode(whole);
  if (!isAwake) {
    isAwake = true;
    later(act);
  }
}

// Where the next `count` lines end, or -1 when they are not all here.
function endOf(text, count, from) {
  let at = from - 1;
  for (let i = 0; i < count && (i === 0 || at >= 0); i++) at = indexOf(text, "\n", at + 1);
  return at;
}

function act() {
  isAwake = false;
  const text = unread;
  let at = 0;
  for (;;) {
    const isInvocation = text[at] === "i";
    const end = endOf(text, isInvocation ? 3 : 1, at);
    if (end < 0) break;
    const first = indexOf(text, "\n", at);
    const head = slice(text, at + 1, first);
    if (isInvocation) {
      const second = indexOf(text, "\n", first + 1);
      const space = indexOf(head, " ");
      const settings = slice(text, first + 1, second);
      if (settings) lastSettings = settings;
      invoke(slice(head, 0, space), slice(head, space + 1), lastSettings, slice(text, second + 1, end));
    } else if (text[at] === "p") {
      put(`["${secret}","p","${head}"]\n`);
    } else if (text[at] === "f") {
      fetched(parse(head));
    } else if (text[at] === "b") {
      boot(parse(head));
    }
    at = end + 1;
  }
  unread = slice(unread, at);
  flush();
}

// fetch: the host connects, under its network policy

function settleFetch(id) {
  const waiting = mapGet(waitingFetches, id);
  mapDelete(waitingFetches, id);
  return waiting;
}

function fetched({ id, error, status, reason, url, redirected, headers, body }) {
  const waiting = settleFetch(id);
  if (!waiting) return;
  if (error !== undefined) {
    waiting.reject(new NativeTypeError(`fetch failed: ${error}`));
    return;
  }
  const hasBody = status !== 204 && status !== 205 && status !== 304;
  const response = new NativeResponse(hasBody ? fromBase64(body) : null, { status, statusText: reason, headers });
  defineProperty(response, "url", { value: url });
  defineProperty(response, "redirected", { value: redirected });
  waiting.resolve(response);
}

async function fetchByHost(input, init) {
  const request = new NativeRequest(input, init);
  const body = await request.arrayBuffer();
  const headers = [];
  request.headers.forEach((value, name) => headers.push([name, value]));
  const { signal, method, url, redirect } = request;
  signal.throwIfAborted();
  const timeout = init?.timeout; // of node-fetch 2
  return await new NativePromise((resolve, reject) => {
    const id = `${++fetches}`;
    mapSet(waitingFetches, id, { __proto__: null, resolve, reject });
    const giveUp = (reason) => {
      if (!settleFetch(id)) return;
      put(`["${secret}","a","${id}"]\n`);
      flush();
      reject(reason);
    };
    signal.addEventListener("abort", () => giveUp(signal.reason), { once: true });
    if (timeout > 0) startTimer(() => giveUp(new NativeError(`network timeout at: ${url}`)), timeout);
    put(
      `["${secret}","f","${id}",${stringify(method)},${stringify(url)},${stringify(redirect)},` +
        `${stringify(headers)},"${toBase64(new Uint8Array(body))}"]\n`,
    );
    flush();
  });
}

// cache, Segment

const cached = new NativeMap();
const cache = freeze({
  async load(key, lifetime, make) {
    if (typeof lifetime === "function") [lifetime, make] = [-1, lifetime];
    const found = mapGet(cached, key);
    if (found && (found.until < 0 || now() < found.until)) return found.value;
    const value = await make();
    if (mapSize(cached) >= CACHED_MAX) mapDelete(cached, nextKey(mapKeys(cached)).value);
    mapSet(cached, key, { __proto__: null, value, until: lifetime >= 0 ? now() + lifetime : -1 });
    return value;
  },
  async delete(key) {
    return mapDelete(cached, key);
  },
});

function emit(type, fields) {
  const record = context();
  if (!record || record.done) throw new NativeError(`Segment.${type} was called outside of an invocation`);
  if (fields === null || typeof fields !== "object" || isArray(fields)) {
    throw new NativeTypeError(`Segment.${type} takes an object`);
  }
  const event = assign(create(null), fields);
  event.type = type;
  const text = stringify(event);
  if (record.emitted.length + text.length > outputMax) {
    throw new NativeError(`Segment.* was given more than ${outputMax} bytes`);
  }
  record.emitted += (record.emitted ? "," : "") + text;
}

const Segment = create(null);
for (const type of ["track", "identify", "page", "screen", "group", "alias", "set"]) {
  Segment[type] = (fields) => emit(type, fields);
}

// Loading

function setGlobal(name, value) {
  defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
}

function setMissing(name, why) {
  const refuse = () => {
    const error = new ReferenceError(`the library ${name} ${why}`);
    weakAdd(missing, error);
    throw error;
  };
  const set = (value) => setGlobal(name, value);
  defineProperty(globalThis, name, { get: refuse, set, configurable: true });
}

function takeAway() {
  globalThis.addEventListener("error", (event) => {
    event.preventDefault();
    log(context(), [describe(event.error).message]);
  });
  globalThis.addEventListener("unhandledrejection", (event) => event.preventDefault());
  for (const name of getOwnPropertyNames(globalThis)) {
    if (!KEPT.has(name)) delete globalThis[name];
  }
  freeze(Promise); // every `then` asks a promise for its constructor
  freeze(Promise.prototype);
  const fixed = { __proto__: null, writable: false, configurable: false }; // Deno itself calls and spreads so
  for (const name of ["call", "apply", "bind"]) defineProperty(Function.prototype, name, fixed);
  defineProperty(Array.prototype, Symbol.iterator, fixed);
  defineProperty(Object.getPrototypeOf([].values()), "next", fixed);
}

// Node's module has these from the global of the same name, whose place it takes.
function bothCryptos(module) {
  const { subtle } = crypto;
  const getRandomValues = crypto.getRandomValues.bind(crypto), randomUUID = crypto.randomUUID.bind(crypto);
  return { ...module, subtle, getRandomValues, randomUUID, webcrypto: crypto };
}

// Run before anything is taken away, because they may ask for it, and returned to be put in place after.
async function loadLibraries(libraries) {
  const loaded = [];
  const builtins = create(null);
  const builtin = async (name) => builtins[name] ??= (await import(`bridge:${name}`)).default;
  const give = (name) => {
    const plain = name.startsWith("node:") ? name.slice(5) : name;
    if (!builtins[plain]) throw new Error(`${name} is not available`);
    return builtins[plain];
  };
  const process = { env: {}, version: "v20.18.0", versions: { node: "20.18.0" }, nextTick: queueMicrotask, browser: true };
  for (const { path, builtin: itself, needs, script } of libraries) {
    for (const name of needs) await builtin(name);
    const module = { exports: {} };
    if (script) {
      new NativeFunction("module", "exports", "require", "process", script)(module, module.exports, give, process);
    }
    const [global, member] = path.split(".");
    let value = module.exports;
    if (itself === "https") value = httpsOver(await builtin("stream"), fetchByHost);
    else if (itself) value = await builtin(itself);
    if (itself === "crypto") value = bothCryptos(value);
    loaded.push([global, member ? { [member]: value } : value]);
  }
  return loaded;
}

async function boot(config) {
  ({ secret, kind, output_bytes: outputMax, log_bytes: logMax } = config);
  put(`["${secret}","r"]\n`);
  flush();
  let libraries;
  try {
    libraries = await loadLibraries(config.libraries);
  } catch (error) {
    reject(describe(error));
    return;
  }
  takeAway();
  for (const name of PUBLISHED_NAMES) setGlobal(name, PUBLISHED[name]);
  setGlobal("console", consoleOfFunction);
  setGlobal("fetch", fetchByHost);
  setGlobal("cache", cache);
  if (kind === "SOURCE") setGlobal("Segment", freeze(Segment));
  for (const [name, value] of libraries) setGlobal(name, value);
  for (const [name, why] of Object.entries(config.missing)) setMissing(name, why);
  NativeResponse.prototype.buffer = async function () {
    return Buffer.from(await this.arrayBuffer());
  };
  then(load(config.source), accept, (thrown) => reject(located(thrown)));
}

async function load(source) {
  new AsyncFunction(source); // so that what is added below cannot mend it
  const found = HANDLERS.map((name) => `${name}: typeof ${name} === "function" ? ${name} : undefined`);
  sourceLines = source.split("\n").length;
  Error.prepareStackTrace = stackOf;
  return new AsyncFunction(`${source}\n;return {__proto__: null, ${found.join(", ")}};\n//# sourceURL=${SCRIPT}`)();
}

function accept(found) {
  const names = [];
  for (let i = 0; i < HANDLERS.length; i++) {
    const handler = found?.[HANDLERS[i]];
    if (typeof handler !== "function") continue;
    handlers[HANDLERS[i]] = handler;
    defineProperty(names, names.length, { value: HANDLERS[i], enumerable: true });
  }
  freeze(handlers);
  put(`["${secret}","l",${stringify(names)}]\n`);
  flush();
}

function reject({ error, message }) {
  put(`["${secret}","b",${stringify(error)},${stringify(message)}]\n`);
  flush();
}

pump();
