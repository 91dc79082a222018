// Prints the snippet that sites paste into their pages, as Segment's own package writes it.
//
// Usage: node snippet.js, with the options of the package on its input
// Reads  {"host": "…", "apiKey": "…", "page": false, "load": {…}}
// Prints {"snippet": "…"}
"use strict";
const snippet = require("@segment/snippet");

let text = "";
process.stdin.on("data", (chunk) => { text += chunk; });
process.stdin.on("end", () => {
  process.stdout.write(JSON.stringify({ snippet: snippet.min(JSON.parse(text)) }) + "\n");
});
