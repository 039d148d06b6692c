/** Running a program on one of the runtimes, in the project that has the package installed. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { inject } from "vitest";
import { nodeVersions, type NodeLine } from "./versions.js";

export const project = inject("project");
export const lines = Object.keys(nodeVersions) as NodeLine[];
export const node = (line: NodeLine) => join(inject("runtimes"), `node-${line}/bin/node`);
export const tool = (name: string) => join(inject("runtimes"), ".bin", name);

export interface Result {
  status: number | string | null;
  stdout: string;
  stderr: string;
}

/** Runs to its end; a program that takes longer than 50 s is killed, which its status tells. */
export function run(command: string, args: readonly string[], env: Record<string, string> = {}): Promise<Result> {
  const child = spawn(command, args, {
    cwd: project,
    env: { ...process.env, NODE_OPTIONS: "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 50_000,
    killSignal: "SIGKILL",
  });
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  return new Promise((done, failed) => {
    child.on("error", failed);
    child.on("close", (status, signal) => done({ status: status ?? signal, stdout, stderr }));
  });
}

/** What the checks of `programs/suite.mjs` printed: each check that ran, and why it failed. */
export function failures({ stdout, stderr, status }: Result): Record<string, string | undefined> {
  const results: Record<string, string | undefined> = {};
  for (const line of stdout.split("\n")) {
    if (!line.startsWith("{")) continue;
    const { name, failure } = JSON.parse(line) as { name: string; failure?: string };
    results[name] = failure;
  }
  if (status !== 0) results["exit"] = `status ${status}: ${stderr}`;
  return results;
}
