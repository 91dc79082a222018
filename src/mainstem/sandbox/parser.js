// Reads code without running it: a line of JSON in, a line of JSON out. parse.py is the other end.
//
// V8 compiles the whole text as the body of an async function, which finds every early error and runs nothing. It
// knows where an error is, but tells only whoever reports one that has no stack.

const AsyncFunction = (async function () {}).constructor;
const HEADER_LINES = 3; // V8's two, and the name below, without which a position belongs to no file
const HANDLERS = [
  "onTrack", "onIdentify", "onPage", "onScreen", "onGroup", "onAlias", "onDelete", "onBatch", "onRequest",
];
const { destructureError } = Deno[Deno.internal].core;
Error.stackTraceLimit = 0;

function errorOf(text) {
  try {
    new AsyncFunction(`//# sourceURL=function.js\n${text}`);
  } catch (error) {
    return error;
  }
}

function faultOf(error, source) {
  if (error.name === "RangeError") return { message: "It is nested too deeply", line: 1, column: 1 };
  const lines = source.split(/\r\n|[\n\r\u2028\u2029]/);
  const { lineNumber, columnNumber } = destructureError(error).frames[0] ?? {};
  const line = Math.max((lineNumber ?? 0) - HEADER_LINES, 1);
  if (line > lines.length) {
    const hasOneTooMany = error.message === "Unexpected token '}'" && count(source, "}") > count(source, "{");
    if (hasOneTooMany) return { message: error.message, ...placeOfLast("}", lines) };
    return { message: "Unexpected end of input", line: lines.length, column: lines.at(-1).length + 1 };
  }
  const message = error.message.slice(0, 1000).toWellFormed();
  return { message, line, column: Math.min(columnNumber ?? 1, lines[line - 1].length + 1) };
}

const count = (text, part) => text.split(part).length - 1;

// One brace too many ends V8's function before its own brace, which is then at fault.
function placeOfLast(text, lines) {
  const index = lines.findLastIndex((line) => line.includes(text));
  return { line: index + 1, column: lines[index].lastIndexOf(text) + 1 };
}

// A name can be declared once: where a second declaration is the error, the code has the first one at its top.
const declares = (source, name) => source.includes(name) && errorOf(`let ${name};${source}`) !== undefined;

async function* lines(stream) {
  let unread = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const parts = (unread + text).split("\n");
    unread = parts.pop();
    yield* parts;
  }
}

for await (const line of lines(Deno.stdin.readable)) {
  const source = JSON.parse(line);
  const error = errorOf(source);
  const answer = error
    ? { fault: faultOf(error, source), handlers: [] }
    : { fault: null, handlers: HANDLERS.filter((name) => declares(source, name)) };
  await Deno.stdout.write(new TextEncoder().encode(JSON.stringify(answer) + "\n"));
}
