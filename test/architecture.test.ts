/**
 * The rules of the structure, read from the sources themselves: imports point right, no cycles, sans-IO
 * layers stay so, one file opens the client's sockets, one file signs, nothing is depended on.
 */
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, test } from "vitest";

const root = resolve(import.meta.dirname, "..");
const src = join(root, "src");

const files = readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((name) => name.endsWith(".ts"))
  .map((name) => name.replaceAll("\\", "/"))
  .sort();

const text = new Map(files.map((name) => [name, readFileSync(join(src, name), "utf8")]));

/** Every module specifier of a file: imports, re-exports and dynamic imports, types included. */
function specifiers(name: string): string[] {
  const source = text.get(name) ?? "";
  return [...source.matchAll(/(?:\bfrom\s*|\bimport\s*\(?\s*)"([^"]+)"/g)].map((match) => match[1] as string);
}

/** The files under src that a file imports. */
function local(name: string): string[] {
  return specifiers(name)
    .filter((specifier) => specifier.startsWith("."))
    .map((specifier) => relative(src, resolve(src, dirname(name), specifier)).replace(/\.js$/, ".ts"));
}

const layerOf = (name: string) => (name.includes("/") ? (name.split("/")[0] as string) : name.replace(/\.ts$/, ""));

/** What each layer may import besides itself. */
const ground = ["abort", "builtin", "check", "clock", "dispose", "emit", "errors"];
const allowed: Record<string, readonly string[]> = {
  errors: [],
  builtin: [],
  clock: [],
  dispose: [],
  abort: ["check", "errors"],
  check: ["errors"],
  emit: ["errors"],
  codec: ["errors"],
  session: ["codec", "check", "errors"],
  transport: ground,
  client: ["session", "transport", "codec", ...ground],
  wire: ["builtin", "check", "errors"],
  hub: ["client", "session", "codec", "wire", ...ground],
  emulator: ["wire", "codec", "transport", ...ground],
  cli: ["hub", "emulator", "wire", "client", "transport", ...ground],
};

describe("structure", () => {
  test("there are sources to look at, in every layer", () => {
    expect(new Set(files.map(layerOf))).toEqual(new Set(Object.keys(allowed)));
  });

  test.each(files)("%s imports only what stands to its right", (name) => {
    const layer = layerOf(name);
    for (const target of local(name)) {
      expect(files, `${name} imports ${target}`).toContain(target);
      const fine = layerOf(target) === layer || allowed[layer]?.includes(layerOf(target));
      expect(fine, `${name} must not import ${target}`).toBe(true);
    }
  });

  test("no file has more than 400 lines", () => {
    const lines = (name: string): number => (text.get(name) ?? "").split("\n").length - 1;
    expect(files.filter((name) => lines(name) > 400)).toEqual([]);
  });

  test("no class has more than 20 fields", () => {
    const field = /^ {2}(?:(?:readonly|declare|override|static|private|protected) )*#?\w+[?!]?(?::| =|;)/gm;
    let most = 0;
    for (const name of files) {
      for (const [, title, body] of (text.get(name) ?? "").matchAll(
        /^(?:export )?class (\w+)[^\n]*\{\n([\s\S]*?)^\}/gm,
      )) {
        const count = body?.match(field)?.length ?? 0;
        most = Math.max(most, count);
        expect(count, `${name}: ${title}`).toBeLessThanOrEqual(20);
      }
    }
    // They were seen at all.
    expect(most).toBeGreaterThan(10);
  });

  test("there are no import cycles", () => {
    const done = new Set<string>();
    const visit = (name: string, path: readonly string[]): void => {
      expect(path, `cycle: ${[...path, name].join(" -> ")}`).not.toContain(name);
      if (done.has(name)) return;
      for (const target of local(name)) if (files.includes(target)) visit(target, [...path, name]);
      done.add(name);
    };
    for (const name of files) visit(name, []);
  });

  test("only Node's built-ins are imported from outside", () => {
    for (const name of files) {
      for (const specifier of specifiers(name)) {
        expect(specifier.startsWith(".") || specifier.startsWith("node:"), `${name} imports ${specifier}`).toBe(true);
      }
    }
  });

  test("codec, session and wire are sans-IO: no built-in module, timer, clock or randomness", () => {
    const forbidden =
      /\b(setTimeout|setInterval|setImmediate|queueMicrotask|nextTick|Date\.now|performance\.now|Math\.random|new Date)\b/;
    for (const name of files.filter((file) => /^(codec|session|wire)\//.test(file))) {
      expect(
        specifiers(name).filter(
          (specifier) => specifier.startsWith("node:") && !["node:buffer", "node:crypto"].includes(specifier),
        ),
        name,
      ).toEqual([]);
      const code = (text.get(name) ?? "").replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
      expect(forbidden.exec(code)?.[0], name).toBeUndefined();
    }
  });

  test("one file a side opens sockets", () => {
    // Importing a type opens nothing.
    const importsSockets =
      /^import (?!type )[^;]*"node:(net|tls|dgram|http2|https)";|\b(?<!typeof )import\("node:(net|tls|dgram|http2|https)"\)/m;
    expect(files.filter((name) => importsSockets.test(text.get(name) ?? ""))).toEqual(["emulator/server.ts"]);
    const users = files.filter((name) => /\bbuiltin\("(net|tls)"\)/.test(text.get(name) ?? ""));
    expect(users).toEqual(["transport/proxy.ts", "transport/streams.ts", "transport/tls.ts"]);
  });

  test("one file signs tokens", () => {
    const signers = files.filter((name) => /\bcreateHmac\b/.test(text.get(name) ?? ""));
    expect(signers).toEqual(["wire/sas.ts"]);
  });

  test("one file owns timers", () => {
    const owners = files.filter((name) => /\bset(Timeout|Interval)\(/.test(text.get(name) ?? ""));
    expect(owners).toEqual(["clock.ts"]);
  });
});

describe("package", () => {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<string, unknown>;

  test("nothing is depended on at run time, and four packages in development", () => {
    for (const field of ["dependencies", "peerDependencies", "optionalDependencies", "bundleDependencies"]) {
      expect(manifest[field], field).toBeUndefined();
    }
    expect(Object.keys(manifest["devDependencies"] as object).sort()).toEqual([
      "@types/node",
      "rolldown",
      "typescript",
      "vitest",
    ]);
  });

  test("every sub-path names the files that the build makes, for import and for require", () => {
    type Target = { types: string; default: string };
    const paths = manifest["exports"] as Record<string, string | { import: Target; require: Target }>;
    for (const [path, target] of Object.entries(paths)) {
      if (typeof target === "string") continue;
      const name = target.import.default.replace(/^\.\/dist\/|\.js$/g, "");
      expect(files, path).toContain(`${name}.ts`);
      const pair = (module: string, types: string) => ({
        types: `./dist/${name}${types}`,
        default: `./dist/${name}${module}`,
      });
      expect(target, path).toEqual({ import: pair(".js", ".d.ts"), require: pair(".cjs", ".d.cts") });
    }
  });

  test("lock files carry no download addresses", () => {
    for (const name of ["package-lock.json", "bench/package-lock.json", "test/interop/package-lock.json"]) {
      const lock = readFileSync(join(root, name), "utf8");
      expect(/"resolved"\s*:|https?:\/\/[^"]*registry/.exec(lock)?.[0], name).toBeUndefined();
    }
  });

  test("the top level holds what the layout names and nothing else", () => {
    const expected =
      /^(\..*|package\.json|package-lock\.json|tsconfig\.json|src|bench|test|fuzz|README\.md|LICENSE|CHANGELOG\.md|node_modules|dist|coverage)$/;
    for (const name of readdirSync(root)) expect(name).toMatch(expected);
  });
});
