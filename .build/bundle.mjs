// Makes `dist/` from the compiler's output: the modules of a layer become one file, because Node takes about half a
// millisecond to find, read and link each module, and a constrained device would pay for forty of them.
//
// It is plain concatenation in import order, not a bundler: imports inside a layer go, and two top-level names that
// meet in one file stop the build (rename one of them). Modules that are only loaded with `import()` stay files of
// their own, and so do those of the emulator and the command line, which no device loads. Declarations (.d.ts) are
// copied as they are; they keep the comments, which the code does not need.
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, posix, relative, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const out = join(root, ".build/out");
const types = join(root, ".build/types");
const next = join(root, ".build/dist");

/** Each layer's file and the modules that belong to it; the first match wins. */
const CHUNKS = [
  ["codec/index.js", /^(errors\.js|codec\/)/],
  ["client/file-store.js", /^client\/file-store\.js$/],
  ["client/index.js", /^(session|client)\//],
  ["hub/wire.js", /^hub\/(topics|sas|property-bag|connection-string|limits)\.js$/],
  ["hub/index.js", /^hub\//],
];
/** Modules that stay as they are, but for where they import from. */
const LOOSE = /^(emulator|cli)\/.*\.js$/;

const IMPORT = /^(import|export) (?:(\*|\{[^}]*\}|\* as \w+|\w+)(?:, (\{[^}]*\}))? from )?"([^"]+)";\n?/gm;
const DECLARATION = /^(export )?(?:async )?(?:function\*?|class|const|let|var) ([\w$]+|[{[][^=]*)/gm;
const LAZY = /\bimport\("(\.[^"]+)"\)/g;
const LOCAL_EXPORT = /^export \{([^}]*)\};\n?/gm;

const modules = new Map();
const fail = (message) => {
  console.error(`build: ${message}`);
  process.exit(1);
};
const names = (braces) =>
  braces
    .replace(/[{}]/g, "")
    .split(",")
    .map((name) => name.trim())
    .filter(Boolean);
const chunkOf = (name) => CHUNKS.find(([, members]) => members.test(name))?.[0];

/** Reads a module: what it imports, declares and exports, and its text without the statements that do so. */
function load(name) {
  if (modules.has(name)) return modules.get(name);
  const source = readFileSync(join(out, name), "utf8").replace(/^\/\/# sourceMappingURL.*$/gm, "");
  const module = { name, imports: [], reexports: [], declared: new Set(), exported: new Set(), lazy: new Set() };
  modules.set(name, module);
  const target = (specifier) =>
    specifier.startsWith(".") ? posix.normalize(posix.join(posix.dirname(name), specifier)) : specifier;
  module.text = source
    .replace(IMPORT, (_all, keyword, what, more, specifier) => {
      if (what === undefined || /\bas\b/.test((what ?? "") + (more ?? "")) || (what === "*" && keyword === "import")) {
        fail(`${name}: cannot place this import of ${specifier}`);
      }
      const entry = { from: target(specifier), what, more };
      (keyword === "import" ? module.imports : module.reexports).push(entry);
      return "";
    })
    .replace(LOCAL_EXPORT, (_all, list) => {
      for (const item of names(list)) module.exported.add(item);
      return "";
    })
    .replace(DECLARATION, (all, exported, declared) => {
      for (const item of /^[{[]/.test(declared) ? declared.match(/[\w$]+(?=\s*[,}\]])/g) : [declared]) {
        module.declared.add(item);
        if (exported) module.exported.add(item);
      }
      return exported ? all.slice("export ".length) : all;
    });
  for (const [, specifier] of source.matchAll(LAZY)) module.lazy.add(target(specifier));
  for (const { from } of [...module.imports, ...module.reexports]) if (!from.startsWith("node:")) load(from);
  return module;
}

/** The names that `export … from` statements of a module hand on, resolved to the module that declares them. */
function exportsOf(name) {
  const module = load(name);
  const found = new Map([...module.exported].map((item) => [item, name]));
  for (const { from, what } of module.reexports) {
    const inner = exportsOf(from);
    for (const item of what === "*" ? inner.keys() : names(what)) found.set(item, inner.get(item) ?? fail(`${from} lacks ${item}`));
  }
  return found;
}

function inOrder(entry, chunk, seen = new Set()) {
  if (seen.has(entry)) return [];
  seen.add(entry);
  const module = load(entry);
  const before = [...module.imports, ...module.reexports]
    .filter(({ from }) => chunkOf(from) === chunk)
    .flatMap(({ from }) => inOrder(from, chunk, seen));
  return [...before, entry];
}

const lazyOnly = new Set();
function members(chunk) {
  const eager = new Set();
  for (const [name] of modules) {
    if (chunkOf(name) !== chunk || lazyOnly.has(name)) continue;
    for (const item of inOrder(name, chunk)) if (!lazyOnly.has(item)) eager.add(item);
  }
  return [...eager];
}

/** One output file from modules in order; `wanted` are the names that other files import from it. */
function write(file, list, wanted, placeOf) {
  const external = new Map();
  const declared = new Map();
  const body = [];
  const add = (from, text) => {
    if (!external.has(from)) external.set(from, new Set());
    external.get(from).add(text);
  };
  for (const name of list) {
    const module = load(name);
    for (const item of module.declared) {
      if (declared.has(item)) fail(`${declared.get(item)} and ${name} both declare ${item}, and become one file`);
      declared.set(item, name);
    }
    for (const { from, what, more } of module.imports) {
      for (const part of [what, more].filter(Boolean)) {
        if (from.startsWith("node:")) {
          for (const item of part.startsWith("{") ? names(part) : [`default ${part}`]) add(from, item);
          continue;
        }
        const found = exportsOf(from);
        for (const item of names(part)) {
          const origin = found.get(item) ?? fail(`${name} imports ${item}, which ${from} does not export`);
          const place = placeOf(origin);
          if (place !== file) add(place, item);
        }
      }
    }
    const text = module.text.replace(LAZY, (_all, specifier) => {
      const path = posix.normalize(posix.join(posix.dirname(name), specifier));
      return `import("${relativeTo(file, placeOf(path))}")`;
    });
    body.push(text.trim());
  }
  const header = [...external].map(([from, items]) => {
    const plain = [...items].filter((item) => !item.startsWith("default "));
    const whole = [...items].filter((item) => item.startsWith("default ")).map((item) => item.slice(8));
    const parts = [...whole, ...(plain.length > 0 ? [`{ ${plain.join(", ")} }`] : [])].join(", ");
    for (const item of [...plain, ...whole]) {
      if (declared.has(item)) fail(`${declared.get(item)} declares ${item}, which ${file} imports too`);
    }
    return `import ${parts} from "${from.startsWith("node:") ? from : relativeTo(file, from)}";`;
  });
  const here = [...wanted].filter(([, origin]) => placeOf(origin) === file).map(([item]) => item);
  const elsewhere = new Map();
  for (const [item, origin] of wanted) {
    const place = placeOf(origin);
    if (place === file) continue;
    if (!elsewhere.has(place)) elsewhere.set(place, []);
    elsewhere.get(place).push(item);
  }
  const footer = [...elsewhere].map(([place, items]) => `export { ${items.sort().join(", ")} } from "${relativeTo(file, place)}";`);
  if (here.length > 0) footer.push(`export { ${here.sort().join(", ")} };`);
  mkdirSync(dirname(join(next, file)), { recursive: true });
  const text = [...header, ...body, ...footer, ""].join("\n");
  // Node keeps the source in memory: a fifth of it would be the compiler's four spaces a level.
  if (/`[^`]*\n[^`]*`/.test(text.replace(/`[^`\n]*`/g, ""))) fail(`${file} holds a template over several lines`);
  writeFileSync(join(next, file), text.replace(/^(?: {4})+/gm, (spaces) => "\t".repeat(spaces.length / 4)));
}

function relativeTo(file, target) {
  const path = posix.relative(posix.dirname(file), target);
  return path.startsWith(".") ? path : `./${path}`;
}

rmSync(next, { recursive: true, force: true });
cpSync(types, next, { recursive: true });

/** The chunks that are entries of the package by themselves; `wire.js` only serves the others. */
const entries = CHUNKS.map(([file]) => file).filter((file) => file !== "hub/wire.js");
for (const entry of entries) load(entry);
// Modules that are reached through `import()` and by no eager import from an entry.
const eager = new Set(modules.keys());
for (let size = -1; size !== modules.size; ) {
  size = modules.size;
  for (const module of [...modules.values()]) for (const name of module.lazy) load(name);
}
for (const name of modules.keys()) if (!eager.has(name)) lazyOnly.add(name);

const placeOf = (name) => (lazyOnly.has(name) ? name : (chunkOf(name) ?? name));
const wanted = new Map(CHUNKS.map(([file]) => [file, entries.includes(file) ? exportsOf(file) : new Map()]));
for (const module of modules.values()) {
  for (const { from, what, more } of [...module.imports, ...module.reexports]) {
    if (from.startsWith("node:")) continue;
    const found = exportsOf(from);
    for (const item of [what, more].filter(Boolean).flatMap((part) => (part === "*" ? [...found.keys()] : names(part)))) {
      const origin = found.get(item);
      const place = placeOf(origin);
      if (place === placeOf(module.name)) continue;
      if (!wanted.has(place)) wanted.set(place, new Map());
      wanted.get(place).set(item, origin);
    }
  }
}
const looseImport = /^(?:import|export) (\*|\{[^}]*\}|\* as \w+) from "(\.[^"]+)"/gm;
for (const name of readdirSync(out, { recursive: true, encoding: "utf8" }).map((file) => file.replaceAll("\\", "/"))) {
  if (!LOOSE.test(name)) continue;
  const text = readFileSync(join(out, name), "utf8").replace(looseImport, (all, what, specifier) => {
    const target = posix.normalize(posix.join(posix.dirname(name), specifier));
    if (LOOSE.test(target)) return all;
    const place = placeOf(target);
    const found = exportsOf(target);
    for (const item of names(what)) {
      const origin = found.get(item) ?? fail(`${name} imports ${item}, which ${target} does not export`);
      wanted.get(place).set(item, origin);
    }
    return all.replace(specifier, relativeTo(name, place));
  });
  mkdirSync(dirname(join(next, name)), { recursive: true });
  writeFileSync(join(next, name), text);
}

for (const [file] of CHUNKS) write(file, members(file), wanted.get(file), placeOf);
for (const name of lazyOnly) write(name, [name], new Map([...exportsOf(name), ...(wanted.get(name) ?? [])]), placeOf);

// Swapped in at once, so that a program which imports `dist/` never sees half of it.
const dist = join(root, "dist");
const old = join(root, ".build/old");
rmSync(old, { recursive: true, force: true });
try {
  renameSync(dist, old);
} catch (error) {
  if (error.code !== "ENOENT") throw error;
}
renameSync(next, dist);
for (const folder of [old, out, types]) rmSync(folder, { recursive: true, force: true });
console.log(`built ${relative(root, dist)}/`);
