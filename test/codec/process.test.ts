/** The fuzzer's watchdog: an input that is never done with ends the process and is kept. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, expect, test } from "vitest";

const watchdog = resolve(import.meta.dirname, "../../fuzz/watchdog.mjs");
const scratch = mkdtempSync(join(tmpdir(), "hubwire-watchdog-"));
const folder = join(scratch, "crashes");
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function run(program: string): Promise<{ status: number | null; signal: string | null; stderr: string }> {
  const source =
    `import { begin, idle, start, watched } from ${JSON.stringify(watchdog)};\n` +
    `start(0.2, ${JSON.stringify(folder)}); watched("sample");\n${program}`;
  const file = join(scratch, "program.mjs");
  writeFileSync(file, source);
  const child = spawn(process.execPath, [file], { timeout: 20_000, killSignal: "SIGTERM" });
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  return new Promise((done) => child.on("close", (status, signal) => done({ status, signal, stderr })));
}

test("a run that hangs ends the process, and its input is written", async () => {
  const { signal, stderr } = await run("begin(Uint8Array.of(1)); begin(Uint8Array.of(7, 8, 9)); for (;;);");
  expect(stderr).toContain("sample: HANGS for over 0.2 s on 3 bytes");
  expect(signal).toBe("SIGKILL");
  const [file = ""] = readdirSync(folder);
  expect(file).toMatch(/^sample-hangs-[0-9a-f]{12}\.bin$/);
  expect([...readFileSync(join(folder, file))]).toEqual([7, 8, 9]);
});

test("runs that end, and a process that does something else, are left alone", async () => {
  const wait = "const until = performance.now() + 700; while (performance.now() < until)";
  expect(await run(`${wait} begin(new Uint8Array(3));\nidle();`)).toMatchObject({ status: 0, stderr: "" });
  expect(await run(`begin(new Uint8Array(3)); idle(); ${wait};`)).toMatchObject({ status: 0, stderr: "" });
});
