/** The package as npm would publish it, unpacked into an empty project: what it holds, and that it works from there. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const root = resolve(import.meta.dirname, "..");
let project: string;
let installed: string;

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), "hubwire-package-"));
  const pack = ["pack", "--ignore-scripts", "--json", "--loglevel=error", "--pack-destination", project];
  const [{ filename }] = JSON.parse(execFileSync("npm", pack, { cwd: root, encoding: "utf8" })) as [
    { filename: string },
  ];
  installed = join(project, "node_modules/hubwire");
  mkdirSync(installed, { recursive: true });
  execFileSync("tar", ["-xzf", join(project, filename), "-C", installed, "--strip-components=1"]);
});

afterAll(() => rmSync(project, { recursive: true }));

const files = () =>
  readdirSync(installed, { recursive: true, encoding: "utf8" }).filter((name) =>
    statSync(join(installed, name)).isFile(),
  );
const node = (...args: string[]) => execFileSync(process.execPath, args, { cwd: project, encoding: "utf8" });

describe("the published package", () => {
  test("holds the built code, its types and its papers, and nothing else", () => {
    for (const name of files())
      expect(name).toMatch(/^(package\.json|README\.md|LICENSE|CHANGELOG\.md|dist\/.*\.(js|d\.ts))$/);
    expect(
      files()
        .filter((name) => !name.startsWith("dist/"))
        .sort(),
    ).toEqual(["CHANGELOG.md", "LICENSE", "README.md", "package.json"]);
  });

  test("weighs less than a megabyte", () => {
    expect(files().reduce((sum, name) => sum + statSync(join(installed, name)).size, 0)).toBeLessThan(1_000_000);
  });

  test.each([
    [
      "hubwire",
      [
        "DeviceClient",
        "HubwireError",
        "createSasToken",
        "decodeProperties",
        "encodeProperties",
        "parseConnectionString",
        "provisionDevice",
      ],
    ],
    ["hubwire/mqtt", ["HubwireError", "MqttClient", "SessionStore"]],
    ["hubwire/file-store", ["FileStore"]],
    ["hubwire/codec", ["Decoder", "HubwireError", "PacketReader", "decode", "encode"]],
    ["hubwire/emulator", ["HubEmulator", "HubwireError"]],
  ])("%s exports its public names", (path, names) => {
    const keys = JSON.parse(
      node("--input-type=module", "-e", `console.log(JSON.stringify(Object.keys(await import("${path}"))))`),
    ) as string[];
    for (const name of names) expect(keys).toContain(name);
  });

  test("all sub-paths share one error class", () => {
    const paths = ["hubwire", "hubwire/mqtt", "hubwire/codec", "hubwire/emulator"];
    const program = `const all = await Promise.all(${JSON.stringify(paths)}.map((path) => import(path)));
      console.log(new Set(all.map(({ HubwireError }) => HubwireError)).size);`;
    expect(node("--input-type=module", "-e", program)).toBe("1\n");
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
