// Sends events with @segment/analytics-node and closes it, as a server program would.
//
// Reads one JSON object from standard input:
//   {"settings": {"writeKey": "…", "host": "http://…", "flushAt": 5}, "calls": [["track", {"userId": …}], …]}
// Prints one JSON line for each HTTP request that the library made, each error that it gave up on,
// and last {"closed": true, "unsent": 0}.
"use strict";
const { Analytics } = require("@segment/analytics-node");

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");

async function main() {
  let text = "";
  for await (const chunk of process.stdin) text += chunk;
  const { settings, calls } = JSON.parse(text);
  const analytics = new Analytics(settings);
  let unsent = calls.length;
  analytics.on("http_request", ({ url, headers, body }) => say({ request: url, headers, bytes: String(body).length }));
  analytics.on("error", ({ code, reason }) => say({ error: code, reason: String(reason) }));
  for (const [method, parameters] of calls) {
    if (parameters.timestamp) parameters.timestamp = new Date(parameters.timestamp);
    analytics[method](parameters, (error) => { if (!error) unsent -= 1; });
  }
  await analytics.closeAndFlush({ timeout: 30000 });
  say({ closed: true, unsent });
}

main();
