#!/usr/bin/env node
/**
 * The `hubwire` command: finds the subcommand, prints its errors, sets the exit status.
 *
 * Invariants: 0 done, 1 failed, 2 bad arguments; data goes to standard output, everything else to standard
 * error; a subcommand's modules are loaded only when it runs.
 */
import { readFileSync } from "node:fs";
import { HubwireError } from "../errors.js";
import type { Command } from "./arguments.js";

const commands: Record<string, () => Promise<Command>> = {
  demo: async () => (await import("./demo.js")).demo,
  emulate: async () => (await import("./emulate.js")).emulate,
  send: async () => (await import("./send.js")).send,
  listen: async () => (await import("./listen.js")).listen,
  sas: async () => (await import("./sas.js")).sas,
};

const HELP = `Usage: hubwire <command> [options]

Commands:
  demo      start an in-process hub, connect a device to it and show what goes over the wire
  emulate   run the hub by itself, for other programs to connect to
  send      send telemetry to a hub
  listen    print the messages, method calls and twin changes that a hub sends to a device
  sas       make a shared access signature token

  hubwire <command> --help   the options of a command
  hubwire --version

Exit status: 0 done, 1 failed, 2 bad arguments.`;

/** Bad input, as opposed to a failure on the way. */
const USAGE_ERRORS: ReadonlySet<string> = new Set(["ERR_INVALID_ARGUMENT", "ERR_CONNECTION_STRING", "ERR_LIMIT"]);

function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

async function main(args: string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === "--version" || name === "-v") {
    console.log(version());
    return 0;
  }
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    (name === undefined ? console.error : console.log)(HELP);
    return name === undefined ? 2 : 0;
  }
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (load === undefined) {
    throw new HubwireError("ERR_INVALID_ARGUMENT", "there is no such command; hubwire --help lists them");
  }
  const command = await load();
  if (rest.includes("--help") || rest.includes("-h")) {
    console.log(command.help);
    return 0;
  }
  return command.run(rest);
}

function report(error: unknown): number {
  if (!(error instanceof HubwireError)) {
    console.error(error);
    return 1;
  }
  console.error(`hubwire: ${error.message} (${error.code})`);
  return USAGE_ERRORS.has(error.code) ? 2 : 1;
}

// A reader that goes away (`hubwire listen | head`) is no failure of ours.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
main(process.argv.slice(2)).then(
  (status) => (process.exitCode = status),
  (error: unknown) => (process.exitCode = report(error)),
);
