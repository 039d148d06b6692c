/** The package as npm would publish it, unpacked into an empty project: what it holds, and that it works from there. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { installPackage, type PackedProject } from "./support/packed.js";
import { publicNames } from "./support/public-names.js";

const root = resolve(import.meta.dirname, "..");
type Target = { types: string; default: string };
function exportsOf(path: string): { import: Target; require: Target } {
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    exports: Record<string, { import: Target; require: Target }>;
  };
  return exports[path.replace("hubwire", ".")]!;
}

let packed: PackedProject;
let project: string;
let installed: string;

beforeAll(() => {
  packed = installPackage();
  ({ folder: project, installed } = packed);
});

afterAll(() => packed.remove());

const files = () =>
  readdirSync(installed, { recursive: true, encoding: "utf8" }).filter((name) =>
    statSync(join(installed, name)).isFile(),
  );
const node = (...args: string[]) => execFileSync(process.execPath, args, { cwd: project, encoding: "utf8" });

describe("the published package", () => {
  test("holds the built code, its types and its papers, and nothing else", () => {
    for (const name of files())
      expect(name).toMatch(/^(package\.json|README\.md|LICENSE|CHANGELOG\.md|dist\/.*\.(js|cjs|d\.ts|d\.cts))$/);
    expect(
      files()
        .filter((name) => !name.startsWith("dist/"))
        .sort(),
    ).toEqual(["CHANGELOG.md", "LICENSE", "README.md", "package.json"]);
  });

  test("weighs less than a megabyte and a half", () => {
    expect(files().reduce((sum, name) => sum + statSync(join(installed, name)).size, 0)).toBeLessThan(1_500_000);
  });

  describe.each(Object.entries(publicNames))("%s exports what its index names and nothing else", (path, names) => {
    test.each([
      ["import", ["--input-type=module", "-e", `console.log(JSON.stringify(Object.keys(await import("${path}"))))`]],
      ["require", ["--input-type=commonjs", "-p", `JSON.stringify(Object.keys(require("${path}")))`]],
      [
        "import, of the CommonJS form",
        [
          "--input-type=module",
          "-e",
          `import { createRequire } from "node:module";
        const { default: _, "module.exports": __, ...names } =
          await import(createRequire(process.cwd() + "/").resolve("${path}"));
        console.log(JSON.stringify(Object.keys(names)));`,
        ],
      ],
    ])("by %s", (_, args) => {
      expect((JSON.parse(node(...args)) as string[]).sort()).toEqual(names);
    });
  });

  test("all sub-paths share one error class, in either form", () => {
    const paths = JSON.stringify(Object.keys(publicNames).filter((path) => path !== "hubwire/file-store"));
    const check = `console.log(all.length, new Set(all.map(({ HubwireError }) => HubwireError)).size);`;
    const load = (how: string) => `const all = ${how}; ${check}`;
    expect(node("--input-type=module", "-e", load(`await Promise.all(${paths}.map((path) => import(path)))`))).toBe(
      "4 1\n",
    );
    expect(node("--input-type=commonjs", "-e", load(`${paths}.map((path) => require(path))`))).toBe("4 1\n");
  });

  test("an error of the other form is told by its code", () => {
    const program = `
      const { createRequire } = await import("node:module");
      const { decode } = createRequire(process.cwd() + "/")("hubwire/codec");
      const { HubwireError } = await import("hubwire");
      try { decode(new Uint8Array(1)); } catch (error) { console.log(error instanceof HubwireError, error.name, error.code); }`;
    expect(node("--input-type=module", "-e", program)).toBe("false HubwireError ERR_MALFORMED_PACKET\n");
  });

  test.each(["import", "require"])("a stack trace has names, and lines of their own: %s", (how) => {
    const encode = how === "import" ? 'await import("hubwire/codec")' : 'require("hubwire/codec")';
    const program = `const { encode } = ${encode}; try { encode({ type: "puback", packetId: 0 }); } catch (e) { console.log(e.stack); }`;
    const stack = node(`--input-type=${how === "import" ? "module" : "commonjs"}`, "-e", program);
    expect(stack).toMatch(/at nonZero \(/);
    expect(stack).toMatch(/at #acknowledge \(.*codec\.c?js:\d{3}:\d{1,2}\)/);
    expect(stack).toMatch(/at PacketWriter\.packet \(/);
  });

  test("a store of the one form serves a client of the other", () => {
    const program = `
      const { createRequire } = await import("node:module");
      const { FileStore } = createRequire(process.cwd() + "/")("hubwire/file-store");
      const { MqttClient } = await import("hubwire/mqtt");
      const store = new FileStore("records");
      const options = { host: "127.0.0.1", port: 1, protocol: "mqtt", clientId: "c", cleanSession: false, store };
      const client = new MqttClient(options);
      const sent = client.publish("a", "b", { qos: 1 }).catch((error) => error.code);
      await client.close({ force: true });
      console.log(await sent);
      store.close();`;
    expect(node("--input-type=module", "-e", program)).toBe("ERR_CLOSED\n");
  });

  test("packed from a clone that nobody has built, it is the same package", { timeout: 180_000 }, () => {
    const clone = join(project, "clone");
    execFileSync("git", ["clone", "--quiet", "--depth=1", `file://${root}`, clone]);
    symlinkSync(join(root, "node_modules"), join(clone, "node_modules"));
    const [{ files: contents }] = JSON.parse(
      execFileSync("npm", ["pack", "--dry-run", "--json", "--loglevel=error"], {
        cwd: clone,
        encoding: "utf8",
        stdio: ["ignore", "pipe", "pipe"],
      }),
    ) as [{ files: { path: string }[] }];
    const names = contents.map(({ path }) => path);
    for (const path of Object.keys(publicNames)) {
      const { import: esm, require: cjs } = exportsOf(path);
      for (const file of [esm.types, esm.default, cjs.types, cjs.default]) expect(names).toContain(file.slice(2));
    }
  });

  test("the command runs from there", () => {
    const { version, bin } = JSON.parse(readFileSync(join(installed, "package.json"), "utf8")) as {
      version: string;
      bin: { hubwire: string };
    };
    expect(node(join(installed, bin.hubwire), "--version")).toBe(`${version}\n`);
    expect(readFileSync(join(installed, bin.hubwire), "utf8")).toMatch(/^#!\/usr\/bin\/env node\n/);
  });

  test("its types hold for a strict program", { timeout: 60_000 }, () => {
    const program = `
      import { DeviceClient, type ErrorCode, type Twin } from "hubwire";
      import { MqttClient, type Message } from "hubwire/mqtt";
      import { decode, encode, type Packet } from "hubwire/codec";
      import { HubEmulator } from "hubwire/emulator";
      const packet: Packet = decode(encode({ type: "pingreq" }));
      if (packet.type === "publish") { const topic: string = packet.topic; topic.length; }
      export async function f(device: DeviceClient, client: MqttClient, hub: HubEmulator): Promise<ErrorCode | undefined> {
        await device.sendTelemetry({ a: 1 }, { properties: { b: "c" }, messageId: "d" });
        const twin: Twin = await device.getTwin();
        const subscription = await client.subscribe("a/#", { qos: 1 });
        for await (const message of subscription) { const m: Message = message; m.payload.byteLength; break; }
        for await (const message of device.messages()) { message.payload.byteLength; break; }
        const { status, payload } = await hub.invokeMethod("x", "y", { z: 1 });
        client.on("error", (error) => { const code: ErrorCode = error.code; code.length; });
        return twin.desired && status && payload ? undefined : "ERR_TIMEOUT";
      }`;
    writeFileSync(join(project, "program.mts"), program);
    const options = [
      "--noEmit",
      "--strict",
      "--skipLibCheck",
      "false",
      "--exactOptionalPropertyTypes",
      "--module",
      "nodenext",
      "--target",
      "es2022",
    ];
    const types = ["--types", "node", "--typeRoots", join(root, "node_modules/@types")];
    execFileSync(
      process.execPath,
      [join(root, "node_modules/typescript/bin/tsc"), ...options, ...types, "program.mts"],
      { cwd: project, encoding: "utf8" },
    );
  });
});
