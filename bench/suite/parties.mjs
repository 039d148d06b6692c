// The parties of a measurement end to end: a broker process, and one process a client that sends its result once.
import { fork } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { builds } from "./dist.mjs";

const folder = join(import.meta.dirname, "..");
const sdk = join(folder, "../test/interop/node_modules/azure-iot-device-mqtt/package.json");
export const hasSdk = existsSync(sdk);
/** For `report`: what is left out without it, and its version. */
export const sdkSkipped = hasSdk
  ? []
  : ["Microsoft's SDK: its packages are missing (npm run setup:interop installs them)"];
export const sdkVersions = hasSdk ? { "azure-iot-device-mqtt": JSON.parse(readFileSync(sdk, "utf8")).version } : {};

/** The first message of a process that was forked. */
export function message(child) {
  return new Promise((resolve, reject) => {
    const early = (status) => reject(new Error(`a process ended early, with ${status}`));
    child.once("exit", early);
    child.once("message", (value) => {
      child.off("exit", early);
      resolve(value);
    });
  });
}

export async function startBroker(program = "client/broker.mjs", ...args) {
  const child = fork(join(folder, program), args);
  return { ...(await message(child)), child, stop: () => child.disconnect() };
}

/** What publishes through mosquitto to clients that receive. */
export const startFeeder = (port) => startBroker("client/feeder.mjs", `${port}`);

/** The rows of other builds (--build of the runner): each runs where hubwire does. */
export const others = Object.keys(builds);

/** A folder for profiles of the client processes, which costs them time. */
const profiles = process.env.HUBWIRE_PROFILES;

/** Clients that run: without their benchmark they would try for ever to reach a server that is gone. */
const running = new Set();
process.once("exit", () => running.forEach((child) => child.kill()));

/** Starts a client program with settings; a row of another build is hubwire of its files. */
export function startClient(program, { peer, ...values }, flags = []) {
  const dist = builds[peer];
  const settings = JSON.stringify({ ...values, peer: dist ? "hubwire" : peer });
  const env = dist ? { ...process.env, HUBWIRE_DIST: dist } : process.env;
  const execArgv = profiles ? [...flags, "--cpu-prof", `--cpu-prof-dir=${resolve(profiles)}`] : flags;
  const child = fork(join(folder, program), [settings], { execArgv, env });
  running.add(child);
  child.once("exit", () => running.delete(child));
  return child;
}

/** Runs a client program with settings to its end; resolves to its result. */
export async function client(program, values, flags = []) {
  const child = startClient(program, values, flags);
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const result = await message(child);
  await ended;
  return result;
}
