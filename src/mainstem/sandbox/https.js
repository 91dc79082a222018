// Node's https as functions know it, on top of the fetch that the host does for them: `request` and `get` send one
// request without following redirects, and the answer is a stream. No agent, no socket, no certificate of one's own.
// http: URLs are taken too, for private networks that the operator allows.

const BODILESS = new Set(["GET", "HEAD"]);

// What was asked for: a URL or the parts of one, options that go above it, a callback.
function optionsOf([first, second]) {
  const isUrl = typeof first === "string" || first instanceof URL;
  const parts = isUrl ? { ...partsOf(new URL(first)), ...second } : { ...first };
  return { ...parts, url: urlOf(parts) };
}

function partsOf({ protocol, hostname, port, pathname, search, username, password }) {
  const auth = username ? `${decodeURIComponent(username)}:${decodeURIComponent(password)}` : undefined;
  return { protocol, hostname, port, path: pathname + search, auth };
}

function urlOf({ protocol = "https:", hostname, host = "localhost", port, path = "/" }) {
  const name = hostname ?? host;
  const place = name.includes(":") && !name.startsWith("[") ? `[${name}]` : name;
  return new URL(`${protocol}//${place}${port ? `:${port}` : ""}${path.startsWith("/") ? "" : "/"}${path}`);
}

function answerOf({ Readable }, response) {
  const message = Readable.from(bytesOf(response), { objectMode: false });
  const headers = {}, rawHeaders = [];
  for (const [name, value] of response.headers) {
    rawHeaders.push(name, value);
    if (name === "set-cookie") (headers[name] ??= []).push(value);
    else headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
  }
  const { status: statusCode, statusText: statusMessage } = response;
  return Object.assign(message, {
    headers, rawHeaders, statusCode, statusMessage, httpVersion: "1.1", complete: true, aborted: false, trailers: {},
  });
}

async function* bytesOf(response) {
  const body = Buffer.from(await response.arrayBuffer());
  if (body.length) yield body;
}

export function httpsOver(stream, fetch) {
  class ClientRequest extends stream.Writable {
    #parts = [];
    #headers = new Map();
    #aborter = new AbortController();
    #options;
    #timeout = 0;

    constructor(options, answered) {
      super({ decodeStrings: true, autoDestroy: false });
      this.#options = options;
      this.method = String(options.method ?? "GET").toUpperCase();
      this.path = options.url.pathname + options.url.search;
      this.host = options.url.hostname;
      this.protocol = options.url.protocol;
      for (const [name, value] of Object.entries(options.headers ?? {})) this.setHeader(name, value);
      if (options.auth && !this.hasHeader("authorization")) {
        this.setHeader("Authorization", `Basic ${Buffer.from(options.auth).toString("base64")}`);
      }
      options.signal?.addEventListener("abort", () => this.destroy(options.signal.reason), { once: true });
      if (answered) this.once("response", answered);
      if (options.timeout) this.setTimeout(options.timeout);
    }

    setHeader(name, value) {
      this.#headers.set(String(name).toLowerCase(), [String(name), value]);
      return this;
    }
    getHeader(name) {
      return this.#headers.get(String(name).toLowerCase())?.[1];
    }
    hasHeader(name) {
      return this.#headers.has(String(name).toLowerCase());
    }
    removeHeader(name) {
      this.#headers.delete(String(name).toLowerCase());
    }
    getHeaders() {
      return Object.fromEntries([...this.#headers].map(([name, [, value]]) => [name, value]));
    }
    setTimeout(milliseconds, happened) {
      this.#timeout = milliseconds;
      if (happened) this.once("timeout", happened);
      return this;
    }
    setNoDelay() {
      return this;
    }
    setSocketKeepAlive() {
      return this;
    }
    flushHeaders() {}
    abort() {
      this.destroy();
    }

    _write(part, _encoding, done) {
      this.#parts.push(part);
      done();
    }
    _final(done) {
      done();
      this.#send();
    }
    _destroy(error, done) {
      this.#aborter.abort();
      done(error ?? (this.complete ? null : Object.assign(new Error("socket hang up"), { code: "ECONNRESET" })));
    }

    async #send() {
      const headers = [...this.#headers.values()].flatMap(([name, value]) =>
        Array.isArray(value) ? value.map((each) => [name, String(each)]) : [[name, String(value)]]
      );
      const body = BODILESS.has(this.method) ? undefined : Buffer.concat(this.#parts);
      const signal = this.#aborter.signal;
      const timer = this.#timeout ? setTimeout(() => this.emit("timeout"), this.#timeout) : undefined;
      try {
        const asked = { method: this.method, headers, body, redirect: "manual", signal };
        const answer = answerOf(stream, await fetch(this.#options.url.href, asked));
        this.complete = true;
        this.emit("response", answer);
      } catch (error) {
        if (!this.destroyed) this.destroy(error);
      } finally {
        clearTimeout(timer);
      }
    }
  }

  const request = (...given) => {
    const answered = given.find((each) => typeof each === "function");
    return new ClientRequest(optionsOf(given), answered);
  };
  const get = (...given) => request(...given).end();
  class Agent {
    destroy() {}
  }
  return { request, get, Agent, globalAgent: new Agent() };
}
