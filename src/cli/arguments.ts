/**
 * What the commands share: options, where the connection string comes from, exit statuses.
 *
 * Invariant: a secret that was given as an argument, in the environment or on standard input is never printed,
 * not even in the message that refuses it.
 */
import { readFileSync } from "node:fs";
import { parseArgs, type ParseArgsConfig } from "node:util";
import { HubwireError } from "../errors.js";

/** The environment variable that holds the connection string where none is given. */
export const CONNECTION_STRING_VARIABLE = "IOTHUB_DEVICE_CONNECTION_STRING";

/** One subcommand of `hubwire`. */
export interface Command {
  /** What `--help` prints. */
  readonly help: string;
  /** Resolves to the exit status; throws HubwireError, which `main` prints and maps to 1 or 2. */
  run(args: string[]): Promise<number>;
}

type Options = NonNullable<ParseArgsConfig["options"]>;

/** Options of every command that connects a device. */
export const connectionOptions = {
  "connection-string": { type: "string", short: "c" },
  port: { type: "string", short: "p" },
  ca: { type: "string" },
  timeout: { type: "string", short: "t" },
} as const satisfies Options;

export const connectionHelp = `  -c, --connection-string <text>  the device's connection string; also the first argument, or the
                                  environment variable ${CONNECTION_STRING_VARIABLE}
  -p, --port <number>             port of the hub (8883)
      --ca <file>                 PEM file with the certificate authority of a private hub
  -t, --timeout <seconds>         how long connecting may take (10)`;

/** `parseArgs`, with its complaints turned into ERR_INVALID_ARGUMENT (exit status 2). */
export function parse<const O extends Options>(
  args: string[],
  options: O,
): ReturnType<typeof parseArgs<{ args: string[]; options: O; allowPositionals: true }>> {
  try {
    return parseArgs({ args, options, allowPositionals: true });
  } catch (error) {
    // Only the option's name is repeated: a value that was mistyped may be a secret.
    const code = (error as { code?: string }).code ?? "";
    const option = /'(?:-\w, )?(-{1,2}[\w-]+)/.exec((error as Error).message)?.[1] ?? "";
    const what = code.includes("UNKNOWN") ? "is not an option of this command" : "needs a value, or takes none";
    throw new HubwireError("ERR_INVALID_ARGUMENT", `${option || "an option"} ${what}; --help lists the options`);
  }
}

/** A whole number of an option, within bounds. */
export function integer(name: string, text: string | undefined, min: number, max: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw new HubwireError("ERR_INVALID_ARGUMENT", `--${name} takes a whole number from ${min} to ${max}`);
  }
  return value;
}

/** Splits repeated `name=value` options; a name alone has the value null. */
export function pairs(name: string, texts: readonly string[] = []): Map<string, string | null> {
  const map = new Map<string, string | null>();
  for (const text of texts) {
    const at = text.indexOf("=");
    const key = at < 0 ? text : text.slice(0, at);
    if (key === "") throw new HubwireError("ERR_INVALID_ARGUMENT", `--${name} takes name=value`);
    map.set(key, at < 0 ? null : text.slice(at + 1));
  }
  return map;
}

/** One line of JSON; a Map, which JSON leaves out, as an object, because properties are wanted. */
export const json = (value: unknown): string =>
  JSON.stringify(value, (_key, item: unknown) => (item instanceof Map ? Object.fromEntries(item) : item));

/** Reads a file that the user named; a failure says which option named it. */
export function readNamed(option: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    const code = (cause as { code?: string }).code ?? "unreadable";
    throw new HubwireError("ERR_INVALID_ARGUMENT", `--${option}: cannot read ${path} (${code})`, { cause });
  }
}

/**
 * The connection string of a command and the positionals that are left. A first argument is taken as the
 * connection string where no option and no environment variable gives one, or where it looks like one.
 */
export function connectionString(
  option: string | undefined,
  positionals: readonly string[],
): { text: string; rest: string[] } {
  const rest = [...positionals];
  const fromEnvironment = process.env[CONNECTION_STRING_VARIABLE];
  if (option !== undefined) return { text: option, rest };
  if (rest[0] !== undefined && (rest[0].includes("HostName=") || !fromEnvironment)) {
    return { text: rest.shift() as string, rest };
  }
  if (fromEnvironment) return { text: fromEnvironment, rest };
  throw new HubwireError(
    "ERR_CONNECTION_STRING",
    `no connection string: give it as the first argument, with --connection-string or in ${CONNECTION_STRING_VARIABLE}`,
  );
}

/** The client options behind `connectionOptions`. One attempt only: a person is waiting. */
export function clientOptions(values: { port?: string; ca?: string; timeout?: string }) {
  const port = integer("port", values.port, 1, 65_535);
  const timeout = integer("timeout", values.timeout, 1, 3_600);
  return {
    reconnect: false as const,
    ...(port === undefined ? {} : { port }),
    ...(values.ca === undefined ? {} : { tls: { ca: readNamed("ca", values.ca) } }),
    connectTimeout: (timeout ?? 10) * 1000,
  };
}
