// Runs destinations as their package means it, without mainstem: reads calls as lines of JSON, runs one after the
// other, and writes a line for each: {"error": text} or {"outputs": what the package answered}. Requests go to the
// URL in argv[3] with their own in a header; nothing else is changed. argv[2] is the folder of the installed set.
'use strict'
const path = require('node:path')
const readline = require('node:readline')
const { createRequire } = require('node:module')

const [, , folder, divert] = process.argv
const own = createRequire(path.join(folder, 'package.json'))
const { getDestinationById } = own('@segment/action-destinations')
const core = path.dirname(createRequire(own.resolve('@segment/action-destinations')).resolve('@segment/actions-core'))
const fetching = require(path.join(core, 'fetch.js'))
const { Destination } = require(path.join(core, 'index.js'))
const send = fetching.default
fetching.default = (request) =>
  send(
    new fetching.Request(divert, {
      method: request.method,
      headers: [...request.headers, ['Mainstem-Original-Url', request.url]],
      body: request.body,
      redirect: request.redirect
    })
  )
for (const name of ['log', 'info', 'warn', 'error', 'debug']) console[name] = () => {}

const nothing = () => {}
const statsClient = { incr: nothing, set: nothing, histogram: nothing, observe: nothing, gauge: nothing }

async function run({ id, action, mapping, settings, auth, events, isBatch }) {
  const found = getDestinationById(id)
  const destination = found instanceof Destination ? found : new Destination(found)
  const subscription = { partnerAction: action, mapping, subscribe: 'type != "-"', enabled: true }
  const all = { ...settings, oauth: auth ?? {}, subscriptions: [subscription] }
  const options = { features: {}, statsContext: { statsClient, tags: [] }, logger: { level: 'silent', ...Object.fromEntries(['crit', 'debug', 'info', 'warn', 'error'].map((each) => [each, nothing])) } }
  return isBatch ? destination.onBatch(events, all, options) : destination.onEvent(events[0], all, options)
}

async function main() {
  process.on('unhandledRejection', nothing)
  for await (const line of readline.createInterface({ input: process.stdin })) {
    let answer
    try {
      answer = { outputs: await run(JSON.parse(line)) }
    } catch (error) {
      answer = { error: `${error?.message ?? error}` }
    }
    process.stdout.write(JSON.stringify(answer) + '\n')
  }
  process.exit(0)
}
main()
