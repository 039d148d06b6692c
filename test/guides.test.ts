/**
 * The guides have everything that is public: each name that an entry exports, each member of its classes, each option that a
 * client, a store or the hub takes. What has no place in a guide nobody finds.
 */
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import * as client from "../src/client/index.js";
import * as fileStore from "../src/client/file-store.js";
import * as codec from "../src/codec/index.js";
import * as emulator from "../src/emulator/index.js";
import { type ErrorCode, HubwireError } from "../src/errors.js";
import * as hub from "../src/hub/index.js";

const root = resolve(import.meta.dirname, "..");
const read = (name: string) => readFileSync(join(root, name), "utf8");
const guides = readdirSync(join(root, "src"), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && readdirSync(join(root, "src", entry.name)).includes("README.md"))
  .map(({ name }) => read(`src/${name}/README.md`))
  .join("\n");

const isFound = (name: string) => new RegExp(`(?<![\\w$])${name}(?![\\w$])`).test(guides);

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

/** Names in `text` that stand before a colon, between `start` and the next closing brace of a declaration. */
function fields(file: string, start: string): string[] {
  const text = read(file);
  const begin = text.indexOf(start);
  expect(begin, start).toBeGreaterThanOrEqual(0);
  const body = text.slice(begin, text.indexOf("\n}", begin));
  return [...body.matchAll(/^ {2}(?:readonly )?(\w+)\??:/gm)].map(([, name = ""]) => name);
}

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

  test.each([
    ["src/client/options.ts", "export interface MqttClientOptions"],
    ["src/client/options.ts", "export interface OfflineQueueOptions"],
    ["src/client/address.ts", "export interface Address"],
    ["src/client/backoff.ts", "export interface ReconnectOptions"],
    ["src/client/api.ts", "export interface ConnectCallOptions"],
    ["src/client/api.ts", "export interface RenewOptions"],
    ["src/client/api.ts", "export interface CloseOptions"],
    ["src/client/api.ts", "export interface PublishOptions"],
    ["src/client/api.ts", "export interface ClientEvents"],
    ["src/client/api.ts", "export interface ClientMetrics"],
    ["src/session/types.ts", "export interface SessionMetrics"],
    ["src/session/types.ts", "export interface Message"],
  ])("have every field of %s, %s", (file, start) => {
    const names = fields(file, start);
    expect(names).not.toEqual([]);
    expect(names.filter((name) => !isFound(name))).toEqual([]);
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
