/** Ways of running Node that devices and hardened images use, on the first line of Node that knows them and the newest. */
import { copyFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { HubEmulator } from "../../src/emulator/index.js";
import { Mosquitto } from "../support/mosquitto.js";
import { publicNames } from "../support/public-names.js";
import { failures, node, project, run, tool } from "./support.js";
import type { NodeLine } from "./versions.js";

let mosquitto: Mosquitto;
let hub: HubEmulator;
beforeAll(async () => {
  [mosquitto, hub] = await Promise.all([Mosquitto.start(), HubEmulator.start()]);
});
afterAll(() => Promise.all([mosquitto.stop(), hub.close()]));

let devices = 0;
const hubSettings = () => ({
  port: hub.port,
  ca: hub.caCertificate,
  connectionString: hub.createDevice(`device-${++devices}`).connectionString,
});
const settings = (checks?: string[]) => JSON.stringify({ names: publicNames, mosquitto: mosquitto.port, checks });
const oldestAndNewest: NodeLine[] = ["18.7", "26"];

describe.each(oldestAndNewest)("Node %s", (line) => {
  test.each([
    ["--jitless"],
    ["--disallow-code-generation-from-strings"],
    ["--frozen-intrinsics"],
    ["--disable-proto=throw"],
    ["--disable-proto=delete"],
    ["--max-semi-space-size=1", "--optimize-for-size"],
  ])("%s", async (...flags) => {
    expect(failures(await run(node(line), [...flags, "import.mjs", settings()]))).toEqual(allWell());
  });

  test("--max-old-space-size=16, under load", async () => {
    const program = ["load.mjs", JSON.stringify({ ...hubSettings(), count: 40_000 })];
    const result = await run(node(line), ["--max-old-space-size=16", "--max-semi-space-size=1", ...program]);
    expect(result).toEqual({ status: 0, stdout: "sent 40000\n", stderr: "" });
  });

  test("a worker with 16 MiB", async () => {
    expect(failures(await run(node(line), ["worker.mjs", settings()]))).toEqual(allWell());
  });
});

function allWell(
  names: readonly string[] = ["names", "codec", "hub", "websocket", "certificate", "mosquitto", "store"],
) {
  return Object.fromEntries(names.map((name) => [name, undefined]));
}

describe("the permission model", () => {
  const models: [NodeLine, string[]][] = [
    ["20.20", ["--experimental-permission", "--no-warnings"]],
    ["24", ["--permission"]],
    ["26", ["--permission", "--allow-net"]],
  ];
  describe.each(models)("of Node %s", (line, flags) => {
    const read = `--allow-fs-read=${project}/*`;

    test("all but the file store needs no more than to read the program", async () => {
      const names = ["names", "codec", "hub", "websocket", "certificate", "mosquitto"];
      expect(failures(await run(node(line), [...flags, read, "import.mjs", settings(names)]))).toEqual(allWell(names));
    });

    test("the file store needs to read and write its folder", async () => {
      const rights = [read, `--allow-fs-read=${tmpdir()}/*`, `--allow-fs-write=${tmpdir()}/*`];
      const names = ["names", "store"];
      expect(failures(await run(node(line), [...flags, ...rights, "import.mjs", settings(names)]))).toEqual(
        allWell(names),
      );
    });

    test("a store that may not be written is ERR_STORE for good", async () => {
      const { stdout } = await run(node(line), [...flags, read, "denied.mjs", "store"]);
      expect(stdout).toBe("ERR_STORE false ERR_ACCESS_DENIED\n");
    });
  });

  test("without --allow-net a connection is refused for good", async () => {
    const { stdout } = await run(node("26"), ["--permission", `--allow-fs-read=${project}/*`, "denied.mjs", "connect"]);
    expect(stdout).toMatch(/^ERR_UNREACHABLE false /);
  });
});

/** The program as one CommonJS file. */
async function bundle(program: string): Promise<string> {
  const file = join(project, `${program}.bundle.cjs`);
  const build = await rolldown({ input: join(project, program), platform: "node", external: /^node:/, cwd: project });
  await build.write({ file, format: "cjs", codeSplitting: false, dynamicImportInCjs: false });
  await build.close();
  return file;
}

describe("a single executable from a bundle", () => {
  let main: string;
  beforeAll(async () => {
    main = await bundle("single.mjs");
  });
  const FUSE = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2";

  test.each<NodeLine>(["20.20", "26"])("on Node %s", async (line) => {
    const executable = join(project, `single-${line}`);
    const config = join(project, `sea-${line}.json`);
    const blob = join(project, `sea-${line}.blob`);
    const common = { main, disableExperimentalSEAWarning: true };
    if (line === "26") {
      writeFileSync(config, JSON.stringify({ ...common, output: executable }));
      expect(await run(node(line), ["--build-sea", config])).toMatchObject({ status: 0 });
    } else {
      writeFileSync(config, JSON.stringify({ ...common, output: blob }));
      expect(await run(node(line), ["--experimental-sea-config", config])).toMatchObject({ status: 0 });
      copyFileSync(node(line), executable);
      const args = [tool("postject"), executable, "NODE_SEA_BLOB", blob, "--sentinel-fuse", FUSE];
      expect(await run(process.execPath, args)).toMatchObject({ status: 0 });
    }
    const result = await run(executable, [], { SETTINGS: JSON.stringify(hubSettings()) });
    expect(result).toMatchObject({ status: 0, stdout: "sent\n" });
  });
});

describe("a start-up snapshot", () => {
  let main: string;
  beforeAll(async () => {
    main = await bundle("snapshot.mjs");
  });

  // 18.7 builds none, and 20.0 does not know the names `node:…` while it builds one.
  test.each<NodeLine>(["18.20", "20.20", "22.0", "22.23", "24", "26"])(
    "of the codec and of a client, on Node %s",
    async (line) => {
      const blob = join(project, `snapshot-${line}.blob`);
      expect(await run(node(line), ["--snapshot-blob", blob, "--build-snapshot", main])).toMatchObject({ status: 0 });
      const SETTINGS = JSON.stringify({ port: mosquitto.port });
      expect(await run(node(line), ["--snapshot-blob", blob, "--", "main"], { SETTINGS })).toMatchObject({
        status: 0,
        stdout: "codec\nclient\n",
      });
    },
  );
});
