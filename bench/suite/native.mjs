// Peers in C: small programs of bench/native, compiled when they are needed, with what the machine has. Where a compiler
// or a library is missing, the peer is left out and the run says so.
import { execFile, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { promisify } from "node:util";

const run = promisify(execFile);
let folder;

/** A folder of this process that is gone with it. */
export function temporary() {
  if (folder === undefined) {
    folder = mkdtempSync(join(tmpdir(), "hubwire-bench-"));
    process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  }
  return folder;
}

/** `{ program }`, the path of what was compiled, or `{ missing }`, a sentence on why it is not there. */
export function compile(name, libraries, hint) {
  const program = join(temporary(), name);
  const source = join(import.meta.dirname, `../native/${name}.c`);
  const cc = process.env.CC ?? "cc";
  const { error, status, stderr } = spawnSync(cc, ["-O2", "-o", program, source, ...libraries], { encoding: "utf8" });
  if (error) return { missing: `there is no C compiler (${cc})` };
  if (status !== 0) return { missing: `${hint} (${cc}: ${stderr.trim().split("\n")[0]})` };
  return { program };
}

/**
 * libmosquitto's client of bench/native: `measure` runs it as `client` runs a JavaScript peer, `start` leaves it waiting for
 * numbers of messages (latency.mjs).
 */
export function libmosquitto() {
  const { program, missing } = compile("mosquitto", ["-lmosquitto"], "libmosquitto-dev is not installed");
  if (missing) return { skipped: [`libmosquitto: ${missing}`] };
  const argumentsOf = ({ mode, port, ca, messages, warmup, window, payloadBytes, qos, secure = true }) => {
    const certificate = join(temporary(), "ca.pem");
    writeFileSync(certificate, ca);
    const numbers = [port, messages, warmup, window, payloadBytes, qos].map(String);
    return [mode, secure ? certificate : "-", ...numbers];
  };
  return {
    measure: async (values) => JSON.parse((await run(program, argumentsOf(values))).stdout),
    start(values) {
      const child = spawn(program, argumentsOf(values), { stdio: ["pipe", "pipe", "inherit"] });
      const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      const ask = async (count) => {
        child.stdin.write(`${count}\n`);
        const { done, value } = await answers.next();
        if (done) throw new Error("libmosquitto's program ended early");
        return JSON.parse(value);
      };
      return { ask, stop: () => child.stdin.end() };
    },
    versions: { libmosquitto: spawnSync(program, { encoding: "utf8" }).stdout.trim() },
    skipped: [],
  };
}
