// Puts a library with all it requires into one script, which bridge.js runs with `module` and `require`.
//
//     deno run … bundle.cjs NODE_MODULES OUT '{"_": "lodash", …}'      global name: what is required for it
//
// The first line of a script names the modules of Node that it requires. Every package meant for this is CommonJS
// that requires by literal names, so following those is enough; a bundler would be a binary to download.

const fs = require("node:fs");
const path = require("node:path");
const { createRequire, isBuiltin } = require("node:module");

const MODULE = /^(import|export)\s/m; // of the other kind; only comments require such here
const REQUIRED = /\brequire\(\s*(["'])([^"'\n]+)\1\s*\)/g;

function bundle(nodeModules, entry) {
  const files = [], needs = new Set(), parts = [];
  const add = (file) => files.includes(file) ? files.indexOf(file) : files.push(file) - 1;
  add(createRequire(path.join(nodeModules, "index.js")).resolve(entry));
  for (let i = 0; i < files.length; i++) {
    const text = fs.readFileSync(files[i], "utf8").replace(/^#!.*/, "");
    if (files[i].endsWith(".json")) {
      parts.push(`[{}, function (module) { module.exports = ${text.trim()}; }]`);
      continue;
    }
    const places = {};
    for (const [, , name] of text.matchAll(REQUIRED)) {
      const required = find(files[i], name);
      if (required === undefined) continue;
      if (isBuiltin(required)) needs.add(required.replace(/^node:/, ""));
      else places[name] = add(required);
    }
    parts.push(`[${JSON.stringify(places)}, function (module, exports, require) {\n${text}\n}]`);
  }
  return `//${[...needs].sort().join(",")}
const parts = [\n${parts.join(",\n")}\n], made = [];
function use(at) {
  if (made[at]) return made[at].exports;
  const [places, run] = parts[at], one = made[at] = { exports: {} };
  run.call(one.exports, one, one.exports, (name) => name in places ? use(places[name]) : require(name));
  return one.exports;
}
module.exports = use(0);
`;
}

// What a name stands for in a file; undefined where nothing does, as in a comment, or for what is optional.
function find(file, name) {
  try {
    const found = createRequire(file).resolve(name);
    return isBuiltin(found) || !isModule(found) ? found : mainOf(path.dirname(found));
  } catch {
    return undefined;
  }
}

const isModule = (file) => MODULE.test(fs.readFileSync(file, "utf8"));

// What a package had for everyone before it had modules; undefined when it never did.
function mainOf(folder) {
  const manifest = path.join(folder, "package.json");
  if (!fs.existsSync(manifest)) return mainOf(path.dirname(folder));
  const main = createRequire(manifest).resolve(`./${JSON.parse(fs.readFileSync(manifest, "utf8")).main ?? "index.js"}`);
  return isModule(main) ? undefined : main;
}

const [nodeModules, out, wanted] = process.argv.slice(2);
for (const [name, entry] of Object.entries(JSON.parse(wanted))) {
  fs.writeFileSync(path.join(out, `${name}.js`), bundle(nodeModules, entry));
}
