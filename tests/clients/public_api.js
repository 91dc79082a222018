// Speaks to a Public API through the official TypeScript SDK, one call a line.
//
// Usage: node public_api.js BASE_URL, with the access token in the variable TOKEN.
// Reads  {"operation": "listSources", "path": [], "query": {"pagination": {"count": 2}}, "body": {…}}
// Prints {"status": 200, "body": {…}} or {"status": 404, "errors": […], "decoded": true}.
// `decoded` says that the SDK itself made its HttpError out of the answer.
//
// Operations are found by name, so that a journey can use each of them without a line of JavaScript.
"use strict";
const readline = require("node:readline");
const sdk = require("@segment/public-api-sdk-typescript");

const [baseUrl, token] = [process.argv[2], process.env.TOKEN];

function findOperation(name) {
  for (const api of sdk.APIS) {
    if (typeof api.prototype[name] === "function") {
      const service = new api(baseUrl);
      service.accessToken = token;
      return service[name].bind(service);
    }
  }
  throw new Error(`the SDK has no operation ${name}`);
}

// The SDK takes positional arguments; the names of its parameters say which is which.
function parameterNames(name) {
  const api = sdk.APIS.find((each) => typeof each.prototype[name] === "function");
  const [, list] = /^[^(]*\(([^)]*)\)/.exec(api.prototype[name].toString());
  return list.split(",").map((each) => each.trim()).filter((each) => each !== "options");
}

function positional(asked) {
  const path = [...(asked.path ?? [])];
  const query = { ...asked.query };
  const values = parameterNames(asked.operation).map((name) => {
    if (name in query) {
      const value = query[name];
      delete query[name];
      return value;
    }
    if (asked.body !== undefined && /Input$/.test(name)) return asked.body;
    return path.shift();
  });
  const left = [...Object.keys(query), ...path];
  if (left.length) throw new Error(`${asked.operation} has no parameter for ${left}`);
  return values;
}

async function perform(asked) {
  const operation = findOperation(asked.operation);
  try {
    const { response, body } = await operation(...positional(asked));
    return { status: response.statusCode, body, decoded: true };
  } catch (error) {
    if (error.name !== "HttpError") throw error; // compiled to ES5, it is no instance of its own class
    return { status: error.statusCode, errors: error.body?.errors, decoded: true };
  }
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const answer = await perform(JSON.parse(line)).catch((error) => ({ failure: String(error) }));
    process.stdout.write(JSON.stringify(answer) + "\n");
  }
}

main();
