// What a condition costs an event in Segment's own packages. Reads one JSON object from standard input:
//   {"cases": [{"trigger": "…", "events": […]}], "rounds": 5}
// Prints for each case and round the nanoseconds an event, as the runner of actions does it (the trigger is read for
// each event) and with the trigger read once.
"use strict";
const { createRequire } = require("node:module");
const path = require("node:path");
const clients = createRequire(path.join(__dirname, "..", "tests", "clients", "package.json"));
const { parseFql, validate } = clients("@segment/destination-subscriptions");

function nanoseconds(events, times, judge) {
  let matched = 0;
  const start = process.hrtime.bigint();
  for (let time = 0; time < times; time += 1) for (const event of events) matched += judge(event) ? 1 : 0;
  const taken = Number(process.hrtime.bigint() - start) / (times * events.length);
  return { taken, matched: matched / times };
}

let text = "";
process.stdin.on("data", (chunk) => { text += chunk; }).on("end", () => {
  const { cases, rounds } = JSON.parse(text);
  const results = cases.map(({ trigger, events }) => {
    const parsed = parseFql(trigger);
    const once = [], each = [];
    let matched = 0;
    for (let round = 0; round <= rounds; round += 1) {
      const compiled = nanoseconds(events, 300, (event) => validate(parsed, event));
      const read = nanoseconds(events, 10, (event) => validate(parseFql(trigger), event));
      matched = compiled.matched;
      if (round > 0) { once.push(compiled.taken); each.push(read.taken); } // the first round warms up
    }
    return { trigger, matched, once, each };
  });
  process.stdout.write(JSON.stringify({ results, node: process.version }) + "\n");
});
