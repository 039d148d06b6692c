/** The guide's scripts for other languages run as they stand, and print what their last lines say. */
import { execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../..");
const guide = readFileSync(join(root, "src/cli/README.md"), "utf8");
const scripts = [...guide.matchAll(/^```(python|sh)\n([\s\S]*?)^```$/gm)]
  .map(([, language = "", text = ""]) => ({
    language,
    text,
    prints: [...text.matchAll(/^# prints: (.*)$/gm)].map(([, line]) => line),
  }))
  .filter(({ prints }) => prints.length > 0);

const needs: Record<string, readonly string[]> = { python: ["python3"], sh: ["sh", "jq", "mosquitto_pub"] };

function available(program: string): boolean {
  try {
    execFileSync("sh", ["-c", `command -v ${program}`], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "hubwire-recipes-"));
  // `npx hubwire …` of an installed package, without one.
  const npx = join(folder, "npx");
  writeFileSync(npx, `#!/bin/sh\nshift\nexec "${process.execPath}" "${join(root, "dist/cli/main.js")}" "$@"\n`);
  chmodSync(npx, 0o755);
});

afterAll(() => rmSync(folder, { recursive: true }));

test("there is one for each language", () => {
  expect(scripts.map(({ language }) => language).sort()).toEqual(["python", "sh"]);
});

test.each(scripts)("$language", { timeout: 60_000 }, async ({ language, text, prints }) => {
  const missing = needs[language]?.find((program) => !available(program));
  if (missing !== undefined) return console.warn(`not run: ${missing} is missing`);
  const [program = "sh", ...args] = language === "python" ? ["python3", "-"] : ["sh", "-e"];
  const { IOTHUB_DEVICE_CONNECTION_STRING: _, ...env } = process.env;
  const child = spawn(program, args, { cwd: folder, env: { ...env, PATH: `${folder}:${env["PATH"]}` } });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdin.end(text);
  const status = await new Promise((done) => child.on("close", done));
  expect(stdout.trimEnd().split("\n"), stderr).toEqual(prints);
  expect(status).toBe(0);
  return undefined;
});
