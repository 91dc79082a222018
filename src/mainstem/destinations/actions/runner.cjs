// Runs installed destinations for runner.py, which starts it under Deno with neither files to write nor programs to
// start, and talks with it in lines of JSON:
//
//   in    {"folder", "divert", "refused": [[address, prefix]…]}                   first, once
//         {"id", "d": metadata id, "a": action, "b": is batch, "m": mapping, "s": settings, "o": auth, "e": [event…]}
//         {"cancel": id}   nobody waits for that call any more
//         {"ping": n}
//   out   {"ready": true} | {"failed": text}                                      first, once
//         {"id", "refresh": tokens}                                               as soon as there are new ones
//         {"id", "r": status, for all, or [[status, code, message, retry after]…], "x": [exchange…]}
//         {"pong": n, "rss": bytes, "cpu": seconds that it used so far}
//
// Destinations are not made for this life: their results collect what was sent, one of their options objects grows
// with every call, they resolve when nothing was done, and they print. Each is met where it is noted below.
'use strict'
const { AsyncLocalStorage } = require('node:async_hooks')
const dns = require('node:dns')
const net = require('node:net')
const fs = require('node:fs')
const path = require('node:path')
const url = require('node:url')
const { createRequire } = require('node:module')

const ALWAYS = 'type != "-"' // the trigger was decided before; true for every event
const EXCHANGES = 5
const GROUPS_AT_ONCE = 8
const BODY_BYTES = 4096
const MASK = '\u2022'.repeat(10)
const PLAIN_HEADERS = new Set(
  ['accept', 'accept-encoding', 'connection', 'content-length', 'content-type', 'host', 'mainstem-original-url', 'user-agent']
)
const SECRET_PARAMETER = /([?&][^=&#]*(?:key|secret|token|passw|signature|auth)[^=&#]*=)[^&#]+/gi
const REMEMBERED = 1_000
const REMEMBERED_CHARACTERS = 1_000

const current = new AsyncLocalStorage()
const printed = process.stdout.write.bind(process.stdout)
const noop = () => {}

// ---- out

let waiting = []
function say(line) {
  if (!waiting.length) setImmediate(flush)
  waiting.push(JSON.stringify(line))
}
function flush() {
  const lines = waiting
  waiting = []
  printed(lines.join('\n') + '\n')
}

// ---- the one place where a request leaves

function choke(fetching, divert) {
  const realFetch = fetching.default
  const { Request } = fetching
  const send = async (input, init) => {
    const request = input instanceof Request && init === undefined ? input : new Request(input, init)
    const call = current.getStore()
    if (call?.isOver) throw Object.assign(new Error('the call was given up'), { code: 'ETIMEDOUT' })
    const exchange = { request, response: undefined }
    if (call && call.exchanges.length < EXCHANGES) call.exchanges.push(exchange)
    const response = await realFetch(divert ? diverted(Request, request, divert) : request)
    exchange.response = response
    return response
  }
  fetching.default = send
  globalThis.fetch = send
}

function diverted(Request, request, url) {
  const { method, headers, body, redirect, signal } = request
  const other = new Request(url, { method, headers, redirect, signal, body: body ?? undefined })
  other.headers.set('Mainstem-Original-Url', request.url)
  return other
}

// ---- the one place where a socket opens. Deno refuses networks of IPv4 by itself, those of IPv6 only here.

class AddressRefused extends Error {
  constructor() {
    super('the address is not allowed by the network policy')
    this.code = 'EREFUSED'
  }
}

function guardSockets(refused) {
  const list = new net.BlockList()
  for (const [address, prefix] of refused) list.addSubnet(address, prefix, address.includes(':') ? 'ipv6' : 'ipv4')
  const isRefused = (address) => list.check(address, net.isIPv6(address) ? 'ipv6' : 'ipv4')
  const lookup = (host, options, done) => {
    const [wanted, answer] = typeof options === 'function' ? [{}, options] : [typeof options === 'number' ? { family: options } : (options ?? {}), done]
    dns.lookup(host, { ...wanted, all: true }, (error, found) => {
      if (error) return answer(error)
      const allowed = found.filter((each) => !isRefused(each.address))
      if (!allowed.length) return answer(new AddressRefused())
      return wanted.all ? answer(null, allowed) : answer(null, allowed[0].address, allowed[0].family)
    })
  }
  const connect = net.Socket.prototype.connect
  net.Socket.prototype.connect = function (...given) {
    const [first, ...rest] = Array.isArray(given[0]) ? given[0] : given
    let options = first
    if (typeof first !== 'object') options = isNaN(first) ? { path: first } : { port: Number(first), host: typeof rest[0] === 'string' ? rest.shift() : 'localhost' }
    const host = options.host ?? options.hostname ?? 'localhost'
    const plain = host.replace(/^\[|\]$/g, '').replace(/%.*$/, '')
    if (options.path && !options.port) throw new AddressRefused()
    if (net.isIP(plain) && isRefused(plain)) {
      process.nextTick(() => this.destroy(new AddressRefused()))
      return this
    }
    options.lookup = lookup
    return connect.call(this, options, ...rest.filter((each) => typeof each === 'function'))
  }
}

// ---- destinations

function loader(folder) {
  const own = createRequire(path.join(folder, 'package.json'))
  const inside = createRequire(own.resolve('@segment/action-destinations'))
  const at = (name) => inside(path.join(path.dirname(inside.resolve('@segment/actions-core')), name))
  withRememberedUrls(() => createRequire(createRequire(inside.resolve('@segment/actions-core')).resolve('cross-fetch'))('node-fetch'))
  const core = { ...inside('@segment/actions-core'), fetching: at('fetch.js') }
  core.HTTPError = at('request-client.js').HTTPError
  core.transform = at('mapping-kit/index.js').transform
  const { destinations } = JSON.parse(fs.readFileSync(path.join(folder, 'catalogue', 'index.json'), 'utf8'))
  return { core, destinations, load: (dir) => inside(`@segment/action-destinations/dist/destinations/${dir}`) }
}

// For each event the client reads the request's URL three times and writes it as often, a tenth of all that is done for
// it. It takes these two functions once, when it is loaded, and never changes what they return.
function withRememberedUrls(load) {
  const module = url.default ?? url
  const { parse, format } = module
  const texts = new WeakMap()
  const parsed = new Map()
  module.parse = (text) => {
    let found = parsed.get(text)
    if (!found) {
      found = Object.freeze(parse(text))
      texts.set(found, format(found))
      if (parsed.size >= REMEMBERED) parsed.delete(parsed.keys().next().value)
      if (text.length <= REMEMBERED_CHARACTERS) parsed.set(text, found)
    }
    return found
  }
  module.format = (found) => texts.get(found) ?? format(found)
  try {
    load()
  } finally {
    Object.assign(module, { parse, format })
  }
}

// Clients of AWS, SFTP and such end by a signal. For requests it would take the place of the package's own limit of
// 10 seconds, and cost a fifth of the time of an event, so others go without.
const takesSignal = ({ perform, performBatch }) => [perform, performBatch].some((each) => /\bsignal\b/.test(String(each)))

class Destinations {
  constructor({ core, destinations, load }) {
    this.core = core
    this.known = destinations
    this.load = load
    this.loaded = new Map()
    this.refreshed = new Map() // by the access token that was refused: the new ones, or a promise of them
  }

  get(id) {
    let destination = this.loaded.get(id)
    if (!destination) {
      if (!Object.hasOwn(this.known, id)) throw Object.assign(new Error('this destination is not installed'), { code: 'NOT_INSTALLED' })
      destination = new this.core.Destination(this.load(this.known[id].dir).default)
      // It would keep every answer for ever.
      for (const action of Object.values(destination.actions)) action.removeAllListeners('response')
      destination.takesSignal = Object.values(destination.definition.actions).some(takesSignal)
      this.refreshOnce(destination)
      this.loaded.set(id, destination)
    }
    return destination
  }

  // Many calls meet the same expired token at once; a second refresh would take the first one's token away.
  refreshOnce(destination) {
    const refresh = destination.refreshTokenAndGetNewToken.bind(destination)
    destination.refreshTokenAndGetNewToken = (settings, options) => {
      const token = settings.oauth?.access_token ?? ''
      const key = token && `${destination.name}\0${token}`
      if (key && this.refreshed.has(key)) return this.refreshed.get(key)
      const promise = refresh(settings, options)
      if (key) this.remember(key, promise)
      return promise
    }
  }

  remember(key, promise) {
    this.refreshed.set(key, promise)
    promise.catch(() => this.refreshed.delete(key))
    if (this.refreshed.size > REMEMBERED) this.refreshed.delete(this.refreshed.keys().next().value)
  }

  // Tokens that were refreshed since the caller read its own.
  async newerTokens(destination, oauth) {
    let tokens
    for (let token = oauth.access_token; token; token = tokens.accessToken) {
      const known = this.refreshed.get(`${destination.name}\0${token}`)
      const newer = known && (await known.catch(() => undefined))
      if (!newer || newer.accessToken === token) break
      tokens = newer
    }
    return tokens
  }
}

// ---- calls

class Call {
  constructor(line, destinations) {
    this.line = line
    this.destinations = destinations
    this.exchanges = []
    this.controller = undefined
    this.isOver = false
    this.results = []
    this.secrets = []
  }

  giveUp() {
    this.isOver = true
    this.controller?.abort(new DOMException('the call was given up', 'TimeoutError'))
  }

  async run() {
    const events = this.line.e
    try {
      const destination = this.destinations.get(this.line.d)
      this.secrets = secretsOf(destination, this.line)
      await this.takeNewerTokens(destination)
      const action = this.checked(destination)
      if (this.line.b && action.hasBatchSupport) await this.batches(destination, action)
      else for (const event of events) this.results.push(await this.single(destination, event))
    } catch (error) {
      const failure = this.failure(error)
      this.results = events.map((_, index) => this.results[index] ?? failure)
    }
    return { id: this.line.id, r: this.compact(), x: this.exchanges.map((each) => this.exchange(each)) }
  }

  async takeNewerTokens(destination) {
    const tokens = this.line.o && (await this.destinations.newerTokens(destination, this.line.o))
    if (!tokens) return
    this.line.o.access_token = tokens.accessToken
    if (tokens.refreshToken) this.line.o.refresh_token = tokens.refreshToken
    this.refreshed(tokens)
  }

  refreshed(tokens) {
    this.secrets.push(...[tokens.accessToken, tokens.refreshToken].filter(Boolean))
    say({ id: this.line.id, refresh: tokens })
  }

  checked(destination) {
    const action = destination.actions[this.line.a]
    if (!action) throw Object.assign(new Error(`this destination has no action ${this.line.a}`), { code: 'UNKNOWN_ACTION' })
    try {
      destination.validateSettings(this.line.s)
    } catch (error) {
      throw Object.assign(error, { code: 'INVALID_SETTINGS', status: 400 })
    }
    return action
  }

  settings() {
    const subscription = { enabled: true, subscribe: ALWAYS, partnerAction: this.line.a, mapping: this.line.m }
    return { ...this.line.s, oauth: this.line.o ?? {}, subscriptions: [subscription] }
  }

  options(destination) {
    if (destination.takesSignal) this.controller ??= new AbortController()
    return {
      features: {},
      statsContext: { statsClient: { incr: noop, set: noop, histogram: noop, observe: noop, gauge: noop }, tags: [] }, // its tags grow
      logger: { level: 'silent', crit: noop, debug: noop, info: noop, warn: noop, error: noop },
      signal: this.controller?.signal,
      onTokenRefresh: (tokens) => this.refreshed(tokens)
    }
  }

  async single(destination, event) {
    try {
      const outputs = await destination.onEvent(event, this.settings(), this.options(destination))
      const last = outputs[outputs.length - 1]
      if (last?.output !== 'Action Executed') return this.notRun(last?.output)
      return this.member(this.inner(last.data))
    } catch (error) {
      return this.failure(error)
    }
  }

  // An action may answer with what a batch answers with, or return an error that it should have thrown.
  inner(data) {
    const { MultiStatusResponse, ActionDestinationErrorResponse } = this.destinations.core
    if (data instanceof Error) throw data
    if (MultiStatusResponse && data instanceof MultiStatusResponse) return data.getResponseAtIndex(0)?.value()
    if (ActionDestinationErrorResponse && data instanceof ActionDestinationErrorResponse) return data.value()
    const status = this.exchanges[this.exchanges.length - 1]?.response?.status
    return { status: status >= 200 && status < 300 ? status : 200 }
  }

  // The package sends a whole batch to where its first member goes, so members that go elsewhere are other batches.
  async batches(destination, action) {
    const groups = this.groups(action)
    const work = async () => {
      for (let group = groups.pop(); group; group = groups.pop()) {
        const results = await this.batch(destination, group.map((index) => this.line.e[index]))
        group.forEach((index, place) => (this.results[index] = results[place]))
      }
    }
    await Promise.all(Array.from({ length: Math.min(GROUPS_AT_ONCE, groups.length) }, work))
  }

  // Indexes of the events that may go together: alike in the mapped values of the batch keys, and in the audience.
  groups(action) {
    const { e: events, m: mapping } = this.line
    const keys = mapping.batch_keys ?? action.definition.fields?.batch_keys?.default
    const named = (Array.isArray(keys) ? keys : []).filter((key) => mapping[key] !== undefined).map((key) => [key, mapping[key]])
    const parts = named.filter(([, value]) => JSON.stringify(value).includes('"@'))
    if (!parts.length && !events.some((each) => each.context?.personas)) return [[...events.keys()]]
    const groups = new Map()
    events.forEach((event, index) => {
      const { computation_key, external_audience_id, audience_settings } = event.context?.personas ?? {}
      const mapped = this.destinations.core.transform(Object.fromEntries(parts), event)
      const key = JSON.stringify([mapped, computation_key, external_audience_id, audience_settings])
      if (!groups.has(key)) groups.set(key, [])
      groups.get(key).push(index)
    })
    return [...groups.values()].reverse()
  }

  async batch(destination, events) {
    try {
      const outputs = await destination.onBatch(events, this.settings(), this.options(destination))
      const members = outputs[0]?.multistatus
      if (!Array.isArray(members)) return events.map(() => this.notRun(outputs[0]?.output))
      return events.map((_, index) => this.member(members[index]))
    } catch (error) {
      const failure = this.failure(error)
      return events.map(() => failure)
    }
  }

  member(found) {
    const status = found?.status
    if (!Number.isInteger(status)) return [0, 'NO_RESULT', 'the destination gave no result for this event', null]
    const { getErrorCodeFromHttpStatus } = this.destinations.core
    // Some answer with an error that says 200 OK, and mean it.
    const isNamed = found.errortype !== undefined && found.errortype !== getErrorCodeFromHttpStatus(status)
    if (status >= 200 && status < 300 && !isNamed) return [status, '', '', null]
    const code = found.errortype ?? getErrorCodeFromHttpStatus(status)
    return [status >= 200 && status < 300 ? 400 : status, String(code), this.text(found.errormessage ?? ''), this.retryAfter()]
  }

  notRun(output) {
    return [0, 'NOT_EXECUTED', this.text(output ?? 'the destination did nothing'), null]
  }

  failure(error) {
    const { HTTPError, getErrorCodeFromHttpStatus } = this.destinations.core
    const message = this.text(error?.message ?? String(error))
    if (error instanceof HTTPError) {
      const { status, headers } = error.response
      return [status, getErrorCodeFromHttpStatus(status), message, secondsOf(headers?.get?.('retry-after'))]
    }
    const cause = networkError(error)
    if (cause) return [0, cause.code, this.text(cause.message), null]
    const status = error?.status ?? error?.$metadata?.httpStatusCode
    if (Number.isInteger(status) && status >= 300) return [status, codeOf(error), message, this.retryAfter(error)]
    if (error?.retriable === true || error?.$retryable) return [0, 'RETRYABLE_ERROR', message, null]
    return [0, typeof error?.code === 'string' ? error.code : 'UNKNOWN_ERROR', message, null]
  }

  retryAfter(error) {
    const response = error?.response ?? this.exchanges[this.exchanges.length - 1]?.response
    return secondsOf(response?.headers?.get?.('retry-after'))
  }

  // One number when all events went the same good way, which is what mostly happens.
  compact() {
    const [first, ...others] = this.results
    return first && !first[1] && others.every((each) => !each[1] && each[0] === first[0]) ? first[0] : this.results
  }

  text(message) {
    return this.masked(String(message)).slice(0, 1000)
  }

  masked(text) {
    for (const secret of this.secrets) if (text.includes(secret)) text = text.replaceAll(secret, MASK)
    return text
  }

  exchange({ request, response }) {
    return [
      request.method,
      this.masked(request.url).replace(SECRET_PARAMETER, `$1${MASK}`),
      headersOf(request.headers, (name) => PLAIN_HEADERS.has(name)),
      this.body(request.body),
      response?.status ?? 0,
      response ? headersOf(response.headers, (name) => name !== 'set-cookie') : {},
      this.body(response?.content)
    ]
  }

  // A secret may lie across the cut, so masking comes first.
  body(body) {
    const longest = Math.max(0, ...this.secrets.map((each) => each.length))
    if (Buffer.isBuffer(body)) body = body.subarray(0, BODY_BYTES + longest).toString()
    return typeof body === 'string' ? this.masked(body.slice(0, BODY_BYTES + longest)).slice(0, BODY_BYTES) : ''
  }
}

function headersOf(headers, isPlain) {
  const found = {}
  for (const [name, value] of headers) found[name] = isPlain(name) ? value : MASK
  return found
}

const codeOf = (error) =>
  error.code !== undefined ? String(error.code) : /AjvError|ValidationError/.test(error.name) ? 'PAYLOAD_VALIDATION_FAILED' : (error.name ?? 'UNKNOWN_ERROR')

// Where a failed connection, lookup or handshake is the cause: what says so. Deno's own refusal has no code.
function networkError(error) {
  for (let each = error, depth = 0; each && depth < 5; each = each.cause, depth++) {
    if (each.name === 'NotCapable' || /Requires net access to/.test(each.message ?? '')) return new AddressRefused()
    const isOfNetwork = typeof each.code === 'string' && /^(E[A-Z_]+|CERT_\w+|ERR_(TLS|SSL|SOCKET)\w*|UNABLE_TO\w+|DEPTH_ZERO\w+|SELF_SIGNED\w+)$/.test(each.code)
    if (isOfNetwork && !Number.isInteger(each.status)) return each
  }
  return undefined
}

function secondsOf(value) {
  if (!value) return null
  const seconds = /^\d{1,9}$/.test(value.trim()) ? Number(value) : (Date.parse(value) - Date.now()) / 1000
  return Number.isFinite(seconds) ? Math.max(0, seconds) : null
}

// What must not be seen in what is reported: as it is, and as it stands in an URL or in JSON.
function secretsOf(destination, { s: settings, o: auth }) {
  const fields = Object.entries(destination.authentication?.fields ?? {})
  const named = fields.filter(([, each]) => each.type === 'password' || each.format === 'password').map(([key]) => settings[key])
  const tokens = ['access_token', 'refresh_token', 'clientSecret'].map((key) => auth?.[key])
  const found = [...named, ...tokens, ...ENVIRONMENT].filter((each) => typeof each === 'string' && each.length > 3)
  return [...new Set(found.flatMap((each) => [each, encodeURIComponent(each), JSON.stringify(each).slice(1, -1)]))]
}

const ENVIRONMENT = Object.values(process.env).filter((each) => each.length > 7)

// ---- in

function serve({ folder, divert, refused }) {
  if (refused.length) guardSockets(refused)
  const found = loader(folder)
  choke(found.core.fetching, divert)
  const destinations = new Destinations(found)
  const calls = new Map()
  say({ ready: true })
  return (line) => {
    if (line.ping !== undefined) return say(signOfLife(line.ping))
    if (line.cancel !== undefined) return calls.get(line.cancel)?.giveUp()
    const call = new Call(line, destinations)
    calls.set(line.id, call)
    return current.run(call, () => call.run()).then((answer) => {
      calls.delete(line.id)
      say(answer)
    })
  }
}

function signOfLife(pong) {
  const { user, system } = process.cpuUsage()
  return { pong, rss: process.memoryUsage().rss, cpu: (user + system) / 1e6 }
}

function main() {
  for (const name of ['log', 'info', 'warn', 'error', 'debug', 'trace', 'dir', 'table']) console[name] = noop
  process.stdout.write = process.stderr.write = () => true
  process.on('unhandledRejection', noop) // a request that nobody waits for any more
  process.on('uncaughtException', noop)
  let handle = (line) => (handle = serve(line))
  const take = (text) => {
    try {
      handle(JSON.parse(text))
    } catch (error) {
      const id = /^\{"id":(\d+),/.exec(text)
      say(id ? { id: Number(id[1]), r: [[0, 'UNREADABLE_CALL', 'the event is not JSON', null]], x: [] } : { failed: String(error?.stack ?? error) })
    }
  }
  let rest = []
  process.stdin.on('data', (chunk) => {
    let start = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      rest.push(chunk.subarray(start, end))
      take((rest.length === 1 ? rest[0] : Buffer.concat(rest)).toString())
      rest = []
      start = end + 1
    }
    if (start < chunk.length) rest.push(Buffer.from(chunk.subarray(start)))
  })
  process.stdin.on('end', () => process.exit(0))
}

main()
