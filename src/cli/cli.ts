/**
 * The `hubwire` command without its process: finds the subcommand, runs it, says what went wrong.
 *
 * Invariants: 0 done, 1 failed, 2 bad arguments; data goes to standard output, everything else to standard error; a
 * subcommand's modules are loaded only when it runs; messages speak of the options that a person typed.
 */
import { readFileSync } from "node:fs";
import { HubwireError } from "../errors.js";
import { badArgument, type Command, Failure, helpOf, parse } from "./command.js";
import { BROKEN_PIPE, type Io, remark, said } from "./io.js";

const COMMANDS: Readonly<Record<string, readonly [summary: string, load: () => Promise<Command>]>> = {
  demo: [
    "start an in-process hub, connect a device to it and show what goes over the wire",
    async () => (await import("./demo.js")).demo,
  ],
  emulate: [
    "run the hub by itself, for other programs to connect to",
    async () => (await import("./emulate.js")).emulate,
  ],
  send: ["send telemetry to a hub, a message or a line at a time", async () => (await import("./send.js")).send],
  listen: [
    "print the messages, method calls and twin changes that a hub sends to a device",
    async () => (await import("./listen.js")).listen,
  ],
  sas: ["make a shared access signature token", async () => (await import("./sas.js")).sas],
  provision: [
    "ask the Device Provisioning Service which hub a device belongs to",
    async () => (await import("./provision.js")).provision,
  ],
  doctor: [
    "find out where the way from this machine to the hub ends, and what to change",
    async () => (await import("./doctor.js")).doctor,
  ],
};

/** The commands' names, in the order of the help. */
export const commandNames: readonly string[] = Object.keys(COMMANDS);

const HELP = `Usage: hubwire <command> [options]

Commands:
${Object.entries(COMMANDS)
  .map(([name, [summary]]) => `  ${name.padEnd(10)}${summary}`)
  .join("\n")}

  hubwire <command> --help   the options of a command; also: hubwire help <command>
  hubwire --version

Exit status: 0 done, 1 failed, 2 bad arguments.`;

/** Bad input, as opposed to a failure on the way. */
const USAGE_ERRORS: ReadonlySet<string> = new Set([
  "ERR_INVALID_ARGUMENT",
  "ERR_CONNECTION_STRING",
  "ERR_LIMIT",
  "ERR_SAS_TOKEN",
]);

function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}

/** The command of a name. Throws ERR_INVALID_ARGUMENT where there is none. */
export async function commandOf(name: string): Promise<Command> {
  const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (entry === undefined) throw badArgument("there is no such command; hubwire --help lists them");
  return entry[1]();
}

async function dispatch(args: readonly string[], io: Io): Promise<number> {
  const [name, ...rest] = args;
  const show = (text: string): number => (io.stdout.write(`${text}\n`), 0);
  if (name === "--version" || name === "-v") return show(version());
  if (name === undefined) {
    io.stderr.write(`${HELP}\n`);
    return 2;
  }
  if (name === "--help" || name === "-h" || name === "help") {
    return show(rest[0] === undefined ? HELP : helpOf(await commandOf(rest[0])));
  }
  const found = await commandOf(name);
  const beforeDashes = rest.includes("--") ? rest.slice(0, rest.indexOf("--")) : rest;
  if (beforeDashes.includes("--help") || beforeDashes.includes("-h")) return show(helpOf(found));
  return found.run(parse(found, rest), io);
}

function report(error: unknown, io: Io): number {
  if (io.stop.reason === BROKEN_PIPE) return 0;
  if (io.stop.aborted && (error as { code?: unknown }).code === "ERR_ABORTED") {
    remark(io, "interrupted");
    return 1;
  }
  if (error instanceof HubwireError) {
    remark(io, said(error));
    return USAGE_ERRORS.has(error.code) ? 2 : 1;
  }
  if (error instanceof Failure) {
    remark(io, error.message);
    return 1;
  }
  // A fault of ours. Its text may quote anything, a secret too; where it came from does not.
  const { name, stack = "" } = error as Error;
  const frames = stack.split("\n").filter((line) => /^ +at /.test(line));
  remark(io, [`unexpected failure (${name}); please report it`, ...frames].join("\n"));
  return 1;
}

/** Runs a command line; resolves to the exit status and never rejects. */
export async function cli(args: readonly string[], io: Io): Promise<number> {
  try {
    return await dispatch(args, io);
  } catch (error) {
    return report(error, io);
  } finally {
    io.input.close();
  }
}
