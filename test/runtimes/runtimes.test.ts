/** The built package on each line of Node from its first to its newest, on Bun and on Deno; in both its forms. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Mosquitto } from "../support/mosquitto.js";
import { publicNames } from "../support/public-names.js";
import { failures, lines, node, project, run, tool } from "./support.js";

let mosquitto: Mosquitto;
beforeAll(async () => {
  mosquitto = await Mosquitto.start();
});
afterAll(() => mosquitto.stop());

const runtimes: [name: string, command: string, ...args: string[]][] = [
  ...lines.map((line): [string, string] => [`Node ${line}`, node(line)]),
  ["Bun", tool("bun")],
  ["Deno", tool("deno"), "run", "--allow-all"],
];
const checks = ["names", "codec", "hub", "websocket", "certificate", "mosquitto", "store"];

describe.each(runtimes)("%s", (_, command, ...args) => {
  for (const program of ["import.mjs", "require.cjs"]) {
    describe(program.split(".")[0]!, () => {
      let found: Record<string, string | undefined>;
      beforeAll(async () => {
        const settings = JSON.stringify({ names: publicNames, mosquitto: mosquitto.port, checks });
        found = failures(await run(command, [...args, program, settings]));
      });
      test.each([...checks, "exit"])("%s", (check) => {
        expect(found[check]).toBeUndefined();
        if (check !== "exit") expect(Object.keys(found)).toContain(check);
      });
    });
  }

  test("hubwire demo", async () => {
    const result = await run(command, [...args, join(project, "node_modules/hubwire/dist/cli/main.js"), "demo"]);
    expect(result).toMatchObject({ status: 0, stderr: "", stdout: expect.stringMatching(/^Done: /m) as string });
  });
});
