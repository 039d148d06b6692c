// Makes `dist/` from `src`, for `import` (.js, .d.ts) and for `require` (.cjs, .d.cts). The code comes from rolldown: a
// file for each entry that only re-exports what its `index.ts` names, a chunk for what several share and one for what
// is only loaded with `import()`. The declarations come from the compiler, one for each module that an entry's types
// lead to. Why it is built so is in src/README.md, with the figures.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { rolldown } from "rolldown";
import { parseSync } from "rolldown/utils";

const root = resolve(import.meta.dirname, "..");
const next = join(root, ".build/next");

/** Entries of the package, which have both forms. */
const entries = ["hub/index", "client/index", "codec/index", "client/file-store", "emulator/index"];
/** The command; and what fuzzing and benchmarks take from inside, which the package does not ship. */
const internal = ["cli/main", "wire/index", "transport/index"];

/**
 * The chunks, lower layers first: what importing one of the client's entries loads at once goes by folders, so that few
 * files are read; what only the emulator or an `import()` needs is left to the bundler. The transport has a chunk of its
 * own because what is loaded later needs it, and bundlers wrap all that such a chunk needs in functions.
 */
function chunks() {
  const source = join(root, "src");
  const layers = [["base", "."], ["codec"], ["wire"], ["transport"], ["client", "session", "client"], ["hub"]];
  let atOnce;
  return layers.map(([name, ...folders], index) => ({
    priority: layers.length - index,
    debugName: name,
    name(id, modules) {
      if (atOnce === undefined) {
        atOnce = new Set(["hub/index", "client/index", "codec/index"].map((entry) => join(source, `${entry}.ts`)));
        for (const module of atOnce) for (const next of modules.getModuleInfo(module).importedIds) atOnce.add(next);
      }
      const folder = relative(source, dirname(id)) || ".";
      return atOnce.has(id) && (folders.length > 0 ? folders : [name]).includes(folder) ? name : null;
    },
  }));
}

/** One character over U+00FF, and the engine keeps the file's whole text, for good, in twice the memory. */
const oneByte = {
  name: "one-byte",
  generateBundle(_, bundle) {
    const escape = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
    for (const chunk of Object.values(bundle)) chunk.code = chunk.code.replace(/[\u0100-\uffff]/g, escape);
  },
};

/** Stack traces name private methods: where names are shortened, these go by as properties, which keep theirs. */
const METHOD = "private_method_";
const privateMethods = {
  name: "private-methods",
  renderChunk(code) {
    const names = [...code.matchAll(/^\s*(?:(?:static|async|get|set) |\*)*#(\w+)\(/gm)].map(([, name]) => name);
    return names.length > 0 ? code.replace(new RegExp(`#(?=(?:${names.join("|")})\\b)`, "g"), METHOD) : null;
  },
  generateBundle(_, bundle) {
    for (const chunk of Object.values(bundle)) chunk.code = chunk.code.replaceAll(METHOD, "#");
  },
};

/** A line for each statement and each member of a class, without spaces: what stack traces and debuggers need of a layout. */
const lines = {
  name: "lines",
  generateBundle(_, bundle) {
    for (const chunk of Object.values(bundle)) {
      const starts = new Set();
      const visit = (node) => {
        if (node === null || typeof node !== "object") return;
        for (const [name, child] of Object.entries(node)) {
          if (name === "body" && Array.isArray(child)) for (const { start } of child) starts.add(start);
          visit(child);
        }
      };
      visit(parseSync(chunk.fileName, chunk.code).program);
      let code = "";
      let end = 0;
      for (const start of [...starts].filter((start) => start > 0).sort((a, b) => a - b)) {
        code += chunk.code.slice(end, start) + "\n";
        end = start;
      }
      chunk.code = code + chunk.code.slice(end);
    }
  },
};

async function emitCode(format, extension, names) {
  const bundle = await rolldown({
    input: Object.fromEntries(names.map((name) => [name, join(root, "src", `${name}.ts`)])),
    external: /^node:/,
    plugins: [privateMethods, oneByte, lines],
    platform: "node",
    checks: { pluginTimings: false },
    preserveEntrySignatures: "strict",
    resolve: { extensionAlias: { ".js": [".ts"] } },
    transform: { target: "node18" },
  });
  const { output } = await bundle.write({
    dir: next,
    format,
    entryFileNames: `[name]${extension}`,
    chunkFileNames: `shared/[name]${extension}`,
    comments: { annotation: true, jsdoc: false, legal: false },
    // Each process keeps the text: no spaces, and short names for what is local. Functions, classes and methods keep theirs,
    // and statements stay apart, for the lines of a stack trace.
    minify: {
      compress: { target: "node18", sequences: false, joinVars: false, keepNames: { function: true, class: true } },
      mangle: { toplevel: false, keepNames: true },
      codegen: { removeWhitespace: true },
    },
    // There are places without `import()`: Jest, a start-up snapshot, a single executable.
    dynamicImportInCjs: false,
    codeSplitting: { groups: chunks() },
  });
  await bundle.close();
  return output;
}

/** The specifiers of a declaration file's modules, each with its place in the text. */
function specifiers(text, file) {
  const { program, errors } = parseSync(file, text, { lang: "dts" });
  if (errors.length > 0) throw new Error(`${file}: ${errors[0].message}`);
  const found = [];
  const visit = (node) => {
    if (node === null || typeof node !== "object") return;
    if (typeof node.source?.value === "string") found.push(node.source);
    for (const child of Object.values(node)) visit(child);
  };
  visit(program);
  return found;
}

/** Keeps the declarations that an entry leads to, and writes each once more for `require`. */
function emitDeclarations() {
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  execFileSync(process.execPath, [compiler, "-p", "src", "--emitDeclarationOnly", "--outDir", next], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  const reached = new Set(entries.map((name) => join(next, `${name}.d.ts`)));
  for (const file of reached) {
    const text = readFileSync(file, "utf8");
    let common = text;
    // From the last to the first, so that places stay right.
    for (const { value, end } of specifiers(text, file).sort((a, b) => b.start - a.start)) {
      if (!value.startsWith(".")) continue;
      reached.add(resolve(dirname(file), value.replace(/\.js$/, ".d.ts")));
      common = `${common.slice(0, end - ".js'".length)}.cjs${common.slice(end - 1)}`;
    }
    writeFileSync(file.replace(/\.ts$/, ".cts"), common);
  }
  for (const name of readdirSync(next, { recursive: true })) {
    const file = join(next, name);
    if (file.endsWith(".d.ts") && !reached.has(file)) rmSync(file);
  }
}

rmSync(next, { recursive: true, force: true });
await emitCode("esm", ".js", [...entries, ...internal]);
await emitCode("cjs", ".cjs", entries);
emitDeclarations();

// Swapped in at once, so that a program which imports `dist/` never sees half of it.
const [dist, old] = [join(root, "dist"), join(root, ".build/old")];
rmSync(old, { recursive: true, force: true });
try {
  renameSync(dist, old);
} catch (error) {
  if (error.code !== "ENOENT") throw error;
}
renameSync(next, dist);
rmSync(old, { recursive: true, force: true });
// Not to standard output, which is npm's own where it packs.
console.error("built dist/");
