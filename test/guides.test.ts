/**
 * The guides have everything that is public: each name that an entry exports, each member of its classes, each field of its
 * types; what has no place in a guide nobody finds. Defaults are those of the code, and commands, events and files are there.
 */
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import * as client from "../src/client/index.js";
import { PORTS } from "../src/client/address.js";
import { resolveOptions } from "../src/client/options.js";
import * as fileStore from "../src/client/file-store.js";
import * as codec from "../src/codec/index.js";
import * as emulator from "../src/emulator/index.js";
import { type ErrorCode, HubwireError } from "../src/errors.js";
import * as hub from "../src/hub/index.js";
import { HUB_LIMITS } from "../src/wire/limits.js";

const root = resolve(import.meta.dirname, "..");
const read = (name: string) => readFileSync(join(root, name), "utf8");
const guides = readdirSync(join(root, "src"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && readdirSync(join(root, "src", entry.name)).includes("README.md"))
  .map(({ name }) => read(`src/${name}/README.md`))
  .join("\n");

const isFound = (name: string, text = guides) => new RegExp(`(?<![\\w$])${name}(?![\\w$])`).test(text);

/** The names behind `export` in an entry, types included. */
function exported(entry: string): string[] {
  const text = read(entry).replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
  const whole = [...text.matchAll(/export (?:type )?\* from "(.*)\.js"/g)].flatMap(([, file = ""]) =>
    exported(join(dirname(entry), `${file}.ts`)),
  );
  const lists = [...text.matchAll(/export (?:type )?\{([^}]*)\}/g)].flatMap(([, list = ""]) => list.split(","));
  const own = [...text.matchAll(/export (?:abstract )?(?:class|function|const|interface|type) (\w+)/g)].map(
    ([, name = ""]) => name,
  );
  return lists
    .map((item) =>
      item
        .trim()
        .replace(/^type /, "")
        .replace(/^.* as /, ""),
    )
    .filter(Boolean)
    .concat(own, whole);
}

/** What can be called or read on instances and on the class itself, without what EventEmitter has. */
function members(module: object): string[] {
  return Object.entries(module).flatMap(([name, value]: [string, unknown]) => {
    if (typeof value !== "function" || !/^class /.test(Function.prototype.toString.call(value))) return [];
    const { prototype } = value as { prototype: object };
    const fixed = Object.getOwnPropertyNames(value).filter((key) => !["length", "name", "prototype"].includes(key));
    const own = Object.getOwnPropertyNames(prototype).filter((key) => key !== "constructor");
    return [...own, ...fixed].map((key) => `${name}.${key}`);
  });
}

/** The fields of each interface and table of the sources, by its name and file. */
const declared = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .flatMap((file) =>
    [...read(`src/${file}`).matchAll(/^export interface (\w+)[^{]*\{\n([\s\S]*?)^\}/gm)].map(
      ([, name = "", body = ""]) => ({
        name,
        folder: file.split("/")[0] as string,
        fields: [...body.matchAll(/^ {2}(?:readonly )?"?([\w-]+)"?\??[:(]/gm)].map(([, field = ""]) => field),
      }),
    ),
  );

const entries: [name: string, file: string, module: object][] = [
  ["hubwire", "src/hub/index.ts", hub],
  ["hubwire/mqtt", "src/client/index.ts", client],
  ["hubwire/codec", "src/codec/index.ts", codec],
  ["hubwire/file-store", "src/client/file-store.ts", fileStore],
  ["hubwire/emulator", "src/emulator/index.ts", emulator],
];

describe("the guides", () => {
  test.each(entries)("have every name of %s", (_name, file) => {
    const names = exported(file);
    expect(names.length).toBeGreaterThan(1);
    expect(names.filter((name) => !isFound(name))).toEqual([]);
  });

  test.each(entries)("have every member of the classes of %s", (_name, _file, module) => {
    const missing = members(module).filter((name) => !isFound(name.split(".")[1]!));
    expect(missing).toEqual([]);
  });

  test.each(entries)("have every field of the types of %s", (name, file) => {
    // What an entry exports is declared in the folders that it is made of; a name may be another's too.
    const folders = {
      hubwire: ["hub", "wire", "client"],
      "hubwire/codec": ["codec"],
      "hubwire/emulator": ["emulator"],
    };
    const own = folders[name as keyof typeof folders] ?? ["client", "session"];
    const guide = read(`src/${own[0]}/README.md`) + (own[0] === "client" ? read("src/transport/README.md") : "");
    const shown = [...exported(file), ...(name === "hubwire/mqtt" ? ["Address"] : [])];
    const fields = shown.flatMap((type) => {
      const found = own.flatMap((folder) => declared.filter((one) => one.name === type && one.folder === folder))[0];
      return (found?.fields ?? []).map((field) => `${type}.${field}`);
    });
    expect(fields.length).toBeGreaterThan(0);
    expect(fields.filter((field) => !isFound(field.split(".")[1]!, guide))).toEqual([]);
  });

  test("list every error code as it is, and none that does not exist", () => {
    const rows = [...read("src/client/README.md").matchAll(/^\| `(ERR_\w+)` \| (\w+) \| (\w+) \| .{20,} \|$/gm)];
    const listed = rows.map(([, code, kind, retryable]) => [code, kind, retryable]);
    const union = /^export type ErrorCode =$.*?;$/ms.exec(read("src/errors.ts"))?.[0] ?? "";
    const codes = [...union.matchAll(/"(ERR_\w+)"/g)].map(([, code]) => code as ErrorCode);
    expect(codes).toContain("ERR_DEVICE_OFFLINE");
    const expected = codes.map((code) => {
      const { kind, retryable } = new HubwireError(code, "");
      return [code, kind, retryable ? "yes" : "no"];
    });
    expect(listed).toEqual(expected);
  });
});

/** The cells of the row of a table that begins with `name`. */
const rowOf = (text: string, name: string): string[] =>
  (new RegExp(`^\\| \`${name}\`.*$`, "m").exec(text)?.[0] ?? "")
    .split(" | ")
    .map((cell) => cell.replace(/^\| | \|$/g, ""));

describe("the defaults of a client", () => {
  const { session, connect, reconnect, ...others } = resolveOptions({ host: "h" }, undefined);
  const { queue, ...window } = session;
  const inCode: Record<string, unknown> = { ...window, ...connect, ...reconnect, ...queue, ...others };
  const sources = ["options", "address", "backoff"].map((name) => read(`src/client/${name}.ts`)).join("\n");
  /** What the docstring of an option says. */
  const documented = (name: string) =>
    new RegExp(`/\\*\\*((?:(?!\\*/)[\\s\\S])*)\\*/\\s+${name}\\?:`).exec(sources)?.[1]?.replace(/\s+\*?\s*/g, " ") ??
    "";
  const guide = read("src/client/README.md");
  const shown = (value: unknown) =>
    typeof value === "number" ? value.toLocaleString("en") : typeof value === "string" ? `"${value}"` : String(value);

  test.each([
    "connectTimeout",
    "operationTimeout",
    "handlerTimeout",
    "keepAlive",
    "cleanSession",
    "maxPacketSize",
    "maxInflight",
    "poisonDetection",
    "maxCount",
    "maxAge",
  ])("%s is the same in the code, its docstring and the guide", (name) => {
    const value = shown(inCode[name]);
    expect(rowOf(guide, name)[1]).toMatch(new RegExp(`^\`?${value}\\b`));
    expect(documented(name)).toMatch(new RegExp(`Default:?[^.]* ${value}\\b`));
  });

  test("of what has several, too", () => {
    expect(rowOf(guide, "host")[1]).toBe(`–, ${PORTS.mqtts} (\`mqtts\`), ${PORTS.mqtt}, ${PORTS.wss}, ${PORTS.ws}`);
    expect(rowOf(guide, "maxInflight")[1]).toContain(`of which ${window.maxInflightQos2} with QoS 2`);
    expect(documented("maxInflight")).toContain(`of which ${window.maxInflightQos2} with QoS 2`);
    expect(rowOf(guide, "overflow")[1]).toBe(`\`${shown(queue.overflow)}\``);
    expect(rowOf(guide, "qos0")[1]).toBe(`\`${queue.qos0}\``);
    for (const name of ["minDelay", "maxDelay"]) {
      expect(rowOf(guide, "reconnect")[2]).toContain(shown(inCode[name]));
      expect(documented(name)).toContain(`Default ${shown(inCode[name])}`);
    }
  });
});

describe("the guide of a device", () => {
  const guide = read("src/hub/README.md");

  test("has the hub's limits as the code has them", () => {
    const [, section = ""] = guide.split(/^## Limits$/m);
    const KiB = (bytes: number) => `${bytes / 1024} KiB`;
    const { telemetry, messageId, keepAlive, method, twin, twinDepth, twinString, twinKey } = HUB_LIMITS;
    for (const [what, limit] of [
      ["a message: ", KiB(telemetry)],
      ["message id ", `${messageId} of`],
      ["keep alive ", `${keepAlive.toLocaleString("en")} s`],
      ["a method's response", KiB(method)],
      ["reported properties", KiB(twin)],
      ["depth of objects", String(twinDepth)],
      ["a string, a name", `${KiB(twinString)}, ${KiB(twinKey)}`],
    ] as const) {
      const row = section.split("\n").find((line) => line.startsWith(`| ${what}`));
      expect(row?.split(" | ")[1], what).toMatch(new RegExp(`^${limit}`));
    }
    expect([HUB_LIMITS.twinMinInteger, HUB_LIMITS.twinMaxInteger]).toEqual([-(2 ** 52), 2 ** 52 - 1]);
    expect(section).toContain("-(2^52) to 2^52 - 1");
  });

  // Where the code has a default, and how the guide says it.
  test.each([
    ["credentials", "tokenLifetime = 3_600_000", "`tokenLifetime` (ms, 5 s to 10 years; one hour)"],
    ["credentials", "renewAt = 0.8", "0.8, varied by"],
    ["credentials", 'apiVersion = "2021-04-12"', '`apiVersion` (`"2021-04-12"`;'],
    ["device-client", "maxMethodCalls ?? 1_000", "handlers of methods that run at a time, 1,000"],
    ["provisioning", "timeout = 120_000", "`timeout` (120 s for all of it)"],
    ["provisioning", "operationTimeout = 20_000", "`operationTimeout` (20 s here)"],
    [
      "provisioning",
      'host = "global.azure-devices-provisioning.net"',
      "`host` (`global.azure-devices-provisioning.net`)",
    ],
    ["batch", "WINDOW = 1_000", "has a thousand on their way at a time"],
    ["inbox", "MOST_HELD = 50", "50 messages are held"],
  ])("says what %s.ts does: %s", (file, code, text) => {
    expect(read(`src/hub/${file}.ts`)).toContain(code);
    expect(guide.replace(/\s+/g, " ")).toContain(text);
  });
});

describe("tables", () => {
  test.each([
    ["client", "ClientEvents"],
    ["hub", "DeviceEvents"],
    ["emulator", "HubEvents"],
  ])("of the events of %s have each, and no other", (folder, type) => {
    const [, table = ""] = /^\| event \|.*\n\|.*\n((?:\|.*\n)+)/m.exec(read(`src/${folder}/README.md`)) ?? [];
    const listed = [...table.matchAll(/^\| (`.*?`) \|/gm)].flatMap(([, cell = ""]) =>
      cell.replaceAll("`", "").split(", "),
    );
    const events = declared.find((one) => one.name === type && one.folder === folder)?.fields ?? [];
    expect(listed.sort()).toEqual([...events].sort());
    expect(events.length).toBeGreaterThan(3);
  });

  test("of the limits of a hub have each, with its default", () => {
    const [, table = ""] = /^\| limit \|.*\n\|.*\n((?:\|.*\n)+)/m.exec(read("src/emulator/README.md")) ?? [];
    const listed = table.match(/^\|.*$/gm)?.flatMap((row) => {
      const [names = "", values = ""] = row.slice(2).split(" | ");
      const shown = values.split(", ");
      return names.split(", ").map((name, i) => [name.replaceAll("`", ""), shown[i]]);
    });
    const limits = Object.entries(emulator.defaultLimits).map(([name, value]) => [name, value.toLocaleString("en")]);
    expect(Object.fromEntries(listed ?? [])).toEqual(Object.fromEntries(limits));
  });

  test("of the channels have each, with what it tells", () => {
    const channels = [...read("src/client/diagnostics.ts").matchAll(/ = channel\("(.*?)"\)/g)].map(
      ([, name = ""]) => name,
    );
    expect(channels).toHaveLength(3);
    const listed = [...read("src/client/README.md").matchAll(/^\| `(hubwire:\w+)` \|/gm)].map(([, name]) => name);
    expect(listed).toEqual(channels);
  });

  test("of the benchmarks have each", () => {
    const names = readdirSync(join(root, "bench"))
      .filter((name) => name.endsWith(".mjs") && name !== "run.mjs")
      .map((name) => name.replace(".mjs", ""));
    const rows = [...read("bench/README.md").matchAll(/^\| .* \| (`npm run bench.*`) \|$/gm)].map(([, cell]) => cell);
    const listed = [...rows.join(" ").matchAll(/bench -- (\w+)/g)].map(([, name]) => name);
    expect(listed.sort()).toEqual(names.sort());
  });

  test("of the fuzzing's targets have each", () => {
    const names = readdirSync(join(root, "fuzz/targets")).map((name) => name.replace(".mjs", ""));
    const [, targets = ""] = read("fuzz/README.md").split("## Targets");
    const rows = [...targets.matchAll(/^\| ((?:`[\w-]+`(?:, )?)+) \| .* \|$/gm)].map(([, cell = ""]) => cell);
    expect(rows.flatMap((cell) => cell.replaceAll("`", "").split(", ")).sort()).toEqual(names.sort());
  });

  test("of the tests have each folder and file", () => {
    const guide = read("test/README.md");
    const names = readdirSync(join(root, "test"), { withFileTypes: true })
      .filter(({ name }) => !["README.md", "support", "vitest.config.ts"].includes(name) && !name.startsWith("."))
      .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name));
    expect(names.filter((name) => !guide.includes(`\`${name}\``))).toEqual([]);
  });
});

/** Every guide: what stands in the top folders, and in the folders of each. */
const documents = ["", ".github", "src", "test", "bench", "fuzz"]
  .flatMap((top) => {
    const inside = readdirSync(join(root, top), { withFileTypes: true });
    const folders = inside.filter((entry) => top !== "" && entry.isDirectory() && entry.name !== "node_modules");
    return [top, ...folders.map(({ name }) => join(top, name))];
  })
  .flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith(".md"))
      .map((name) => join(folder, name)),
  );

describe.each(documents)("%s", (file) => {
  const text = read(file);

  test("names only scripts that there are", () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
    for (const [, name = ""] of text.matchAll(/npm run (?:-s )?([a-z][\w:]*)/g)) expect(scripts).toHaveProperty([name]);
  });

  test("names only files that there are", () => {
    // By its path from the top, from `src`, from where it is spoken of, or from a folder whose files a guide lists.
    const bases = ["", "src", dirname(file), "src/session", "src/client", "test/support", "bench"].map((one) =>
      join(root, one),
    );
    const names = [...text.matchAll(/`([\w/-][\w./-]*\.(?:ts|mjs|c|yml))`/g)].map(([, name = ""]) => name);
    expect(names.filter((name) => !bases.some((base) => existsSync(join(base, name))))).toEqual([]);
  });
});

test("src/README.md names the files of the ground, and every folder", () => {
  const guide = read("src/README.md");
  const [, listed = ""] = /The ground\s+\((.*?)\)/.exec(guide) ?? [];
  const entries = readdirSync(join(root, "src"), { withFileTypes: true });
  const files = entries.filter(({ name }) => name.endsWith(".ts")).map(({ name }) => `\`${name.replace(".ts", "")}\``);
  expect(listed.split(", ").sort()).toEqual(files.sort());
  for (const { name } of entries.filter((entry) => entry.isDirectory())) expect(guide).toContain(`\n| \`${name}/\` | `);
});

test("members that src/README.md names are there", () => {
  const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => read(`src/${file}`));
  const named = [...read("src/README.md").matchAll(/`([A-Z]\w+)\.(\w+)`/g)];
  expect(named.length).toBeGreaterThan(5);
  const missing = named.filter(([, name, member]) => {
    const declaration = new RegExp(`^export (?:abstract )?(?:class|interface) ${name}\\b[\\s\\S]*?^\\}`, "m");
    const body = sources.flatMap((text) => declaration.exec(text)?.[0] ?? [])[0] ?? "";
    return !new RegExp(`^ {2}(?:readonly |get |async |declare )*${member}[?!(<:;= ]`, "m").test(body);
  });
  expect(missing.map(([text]) => text)).toEqual([]);
});

test("the README promises the sizes that the budgets hold", () => {
  const [, limits = ""] = /^export const size = \{([\s\S]*?)^\}/m.exec(read("bench/budgets/limits.mjs")) ?? [];
  const held = [...limits.matchAll(/^ {2}(\w+): ([\d_]+),/gm)].map(([, name, bytes = ""]) => [
    name,
    Number(bytes.replace("_", "")),
  ]);
  const [, sentence = ""] = /Minified, gzipped(.*?)\(`npm run bench -- budgets`/s.exec(read("README.md")) ?? [];
  const told = [...sentence.matchAll(/(?:`(\w+)`|the (codec))(?: takes)? ([\d.]+) kB/g)];
  expect(told).toHaveLength(5);
  for (const [, name, other, kilobytes] of told)
    expect(held).toContainEqual([name ?? other, Math.round(Number(kilobytes) * 1000)]);
});

test("each script is named in a guide", () => {
  expect(documents.length).toBeGreaterThan(12);
  const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
  // What npm runs by itself, before others or when it packs and tags.
  const names = Object.keys(scripts).filter((name) => !/^(pre|version$)/.test(name));
  const text = documents.map(read).join("\n");
  const isNamed = (name: string) => new RegExp(`(?:npm |npm run |\`)${name}(?![\\w:-])`).test(text);
  expect(names.filter((name) => !isNamed(name))).toEqual([]);
});
