/**
 * The package in the hands of others: Jest as it comes, a compiler of 2023 in each of its module settings, and the two
 * tools that look over a package before it is published.
 */
import { execFile, type ExecFileException } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { installPackage, type PackedProject } from "../support/packed.js";

const root = resolve(import.meta.dirname, "../..");
const peers = join(import.meta.dirname, "node_modules");
let packed: PackedProject;
beforeAll(() => {
  packed = installPackage();
});
afterAll(() => packed.remove());

interface Result {
  status: number | string | null;
  output: string;
}
function node(cwd: string, ...args: string[]): Promise<Result> {
  return new Promise((done) =>
    execFile(process.execPath, args, { cwd, encoding: "utf8" }, (error: ExecFileException | null, stdout, stderr) =>
      done({ status: error === null ? 0 : (error.code ?? error.signal ?? 1), output: stdout + stderr }),
    ),
  );
}

/** A folder inside the project, so that programs there find the package. */
function folder(name: string, files: Record<string, string>): string {
  const path = join(packed.folder, name);
  mkdirSync(path);
  for (const [file, text] of Object.entries(files)) writeFileSync(join(path, file), text);
  return path;
}

test("Jest 29 runs a test of a device in its default form, CommonJS", async () => {
  const cwd = folder("jest", {
    "package.json": "{}",
    "device.test.js": `
      const { DeviceClient, HubwireError, provisionDevice } = require("hubwire");
      const { MqttClient } = require("hubwire/mqtt");
      const { HubEmulator } = require("hubwire/emulator");
      const { decode, encode } = require("hubwire/codec");
      const { FileStore } = require("hubwire/file-store");
      let hub;
      beforeAll(async () => { hub = await HubEmulator.start(); });
      afterAll(() => hub.close());
      test("telemetry arrives", async () => {
        const { connectionString } = hub.createDevice("d");
        const device = new DeviceClient(connectionString, { port: hub.port, tls: { ca: hub.caCertificate } });
        await device.connect();
        const arrived = new Promise((resolve) => hub.once("telemetry", resolve));
        await device.sendTelemetry({ a: 1 }, { properties: { b: "c" } });
        expect((await arrived).properties.get("b")).toBe("c");
        await device.close();
      });
      test("what is loaded later loads here too", async () => {
        await expect(provisionDevice({})).rejects.toBeInstanceOf(HubwireError);
      });
      test("the codec", () => {
        expect(decode(encode({ type: "pingreq" }))).toEqual({ type: "pingreq" });
        expect(() => decode(new Uint8Array(1))).toThrow(HubwireError);
        expect(typeof FileStore).toBe(typeof MqttClient);
      });`,
  });
  const { status, output } = await node(cwd, join(peers, "jest/bin/jest.js"));
  expect(output).toMatch(/^Tests: +3 passed, 3 total$/m);
  expect(output).not.toMatch(/did not exit|open handle/);
  expect(status).toBe(0);
});

describe("TypeScript 5.0, strict, without skipLibCheck", () => {
  const program = `
    import { DeviceClient, HubwireError, createSasToken, parseConnectionString, provisionDevice, type ErrorCode, type Twin } from "hubwire";
    import { MqttClient, SessionStore, type Message } from "hubwire/mqtt";
    import { Decoder, PacketReader, decode, encode, type Packet } from "hubwire/codec";
    import { FileStore } from "hubwire/file-store";
    import { HubEmulator } from "hubwire/emulator";
    const packet: Packet = decode(encode({ type: "pingreq" }));
    if (packet.type === "publish") { const topic: string = packet.topic; topic.length; }
    const store: SessionStore = new FileStore("path");
    export async function f(device: DeviceClient, client: MqttClient, hub: HubEmulator): Promise<ErrorCode | undefined> {
      await device.sendTelemetry({ a: 1 }, { properties: { b: "c" }, messageId: "d" });
      const twin: Twin = await device.getTwin();
      const subscription = await client.subscribe("a/#", { qos: 1 });
      for await (const message of subscription) { const m: Message = message; m.payload.byteLength; break; }
      for await (const message of device.messages()) { message.payload.byteLength; break; }
      const { status, payload } = await hub.invokeMethod("x", "y", { z: 1 });
      client.on("error", (error) => { const code: ErrorCode = error.code; code.length; });
      try { store.close(); } catch (error) { if (error instanceof HubwireError) return error.code; }
      // @ts-expect-error: topics are text
      await client.publish(1, "");
      return twin.desired && status && payload ? undefined : "ERR_TIMEOUT";
    }
    export { Decoder, PacketReader, createSasToken, parseConnectionString, provisionDevice };
    export const make = (): MqttClient => new MqttClient({ host: "h", clientId: "c", store });
  `;
  const settings: [name: string, files: string[], options: Record<string, string>][] = [
    ["node16", ["program.mts", "program.cts"], { module: "node16", moduleResolution: "node16" }],
    ["nodenext", ["program.mts", "program.cts"], { module: "nodenext", moduleResolution: "nodenext" }],
    ["bundler", ["program.ts"], { module: "esnext", moduleResolution: "bundler" }],
    ["CommonJS, without a look at exports", ["program.ts"], { module: "commonjs", moduleResolution: "node" }],
  ];

  test.each(settings)("%s", { timeout: 120_000 }, async (name, files, options) => {
    const cwd = folder(`typescript-${settings.findIndex(([other]) => other === name)}`, {
      ...Object.fromEntries(files.map((file) => [file, program])),
      "tsconfig.json": JSON.stringify({
        compilerOptions: {
          ...options,
          target: "es2022",
          strict: true,
          skipLibCheck: false,
          exactOptionalPropertyTypes: true,
          noUncheckedIndexedAccess: true,
          noEmit: true,
          types: ["node"],
        },
        files,
      }),
    });
    // The declarations of Node that the library names are the consumer's own; these are of an age with the compiler.
    mkdirSync(join(cwd, "node_modules/@types"), { recursive: true });
    symlinkSync(join(peers, "types-node-18"), join(cwd, "node_modules/@types/node"));
    const result = await node(cwd, join(peers, "typescript-5.0/bin/tsc"), "-p", ".");
    expect(result).toEqual({ status: 0, output: "" });
  });
});

test("publint finds nothing", async () => {
  const { status, output } = await node(root, join(peers, "publint/src/cli.js"), packed.tarball, "--strict");
  expect(output).toMatch(/All good!/);
  expect(status).toBe(0);
});

test("arethetypeswrong finds nothing, from node16 on", { timeout: 120_000 }, async () => {
  const attw = join(peers, "@arethetypeswrong/cli/dist/index.js");
  const { status, output } = await node(root, attw, packed.tarball, "--profile", "node16", "--no-color", "--no-emoji");
  expect(output).toMatch(/No problems found/);
  expect(status).toBe(0);
});
