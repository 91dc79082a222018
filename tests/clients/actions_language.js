// Judges triggers and mappings of Actions destinations with the packages that Segment's runner is made of.
//
// Reads JSON lines and answers each with one:
//   {"trigger": "…", "events": […]}   {"valid": true, "verdicts": [true, false, "fails"]}
//   {"mapping": {…}, "event": {…}}    {"valid": true} or {"valid": false, "message": "…"}; with an event also
//                                     {"resolved": …} or {"fails": "…"}
"use strict";
const path = require("node:path");
const readline = require("node:readline");
const { parseFql, validate } = require("@segment/destination-subscriptions");
const core = path.join(__dirname, "node_modules", "@segment", "actions-core", "dist", "cjs", "mapping-kit");
const validateMapping = require(path.join(core, "validate.js")).default;
const { transform } = require(path.join(core, "index.js"));

function judgeTrigger({ trigger, events }) {
  const parsed = parseFql(trigger);
  const verdicts = events.map((event) => {
    try {
      return validate(parsed, event);
    } catch {
      return "fails";
    }
  });
  return { valid: !parsed.error, verdicts };
}

function judgeMapping({ mapping, event }) {
  try {
    validateMapping(mapping);
  } catch (error) {
    return { valid: false, message: error.message };
  }
  if (event === undefined) return { valid: true };
  try {
    return { valid: true, resolved: transform(mapping, event) };
  } catch (error) {
    return { valid: true, fails: error.message };
  }
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const question = JSON.parse(line);
  const answer = "trigger" in question ? judgeTrigger(question) : judgeMapping(question);
  process.stdout.write(JSON.stringify(answer) + "\n");
});
