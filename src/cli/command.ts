/**
 * What a command of `hubwire` is: its options as a table, from which `--help` is written and the arguments are read,
 * so that the two cannot differ.
 *
 * Invariant: a value that was given is never repeated, not even by the message that refuses it: it may be a secret that
 * was meant for another option.
 */
import { parseArgs } from "node:util";
import { HubwireError } from "../errors.js";
import type { Io } from "./io.js";

export interface Option {
  readonly short?: string;
  /** What the value is, in `<…>`; without it the option is a switch. */
  readonly value?: string;
  readonly multiple?: true;
  readonly help: string;
  /** Any text is fine, a key or connection string too. Elsewhere one is refused, because it would be printed or kept. */
  readonly anything?: true;
}

export type Options = Readonly<Record<string, Option>>;

type Value<O extends Option> = O extends { value: string } ? (O extends { multiple: true } ? string[] : string) : true;

/** The options' values; what was not given is undefined. */
export type Values<O extends Options> = { readonly [name in keyof O]?: Value<O[name]> | undefined };

/** The arguments of a command. */
export interface Given<O extends Options> {
  readonly values: Values<O>;
  readonly positionals: readonly string[];
}

/** One command of `hubwire`. */
export interface Command<O extends Options = Options> {
  readonly name: string;
  /** What follows the name in the usage line. */
  readonly usage: string;
  /** What it does; paragraphs of lines under 100 characters. */
  readonly about: string;
  readonly options: O;
  /** What `--help` says after the options. */
  readonly notes?: string;
  /** Resolves to the exit status. Rejects with HubwireError or Failure. */
  run(given: Given<O>, io: Io): Promise<number>;
}

/** Gives a command the types of its own options. */
export const command = <const O extends Options>(definition: Command<O>): Command => definition as unknown as Command;

/** What failed for a reason outside of the arguments: exit status 1. */
export class Failure extends Error {}

export const badArgument = (message: string): HubwireError => new HubwireError("ERR_INVALID_ARGUMENT", message);

const COLUMN = 34;
const WIDTH = 100;

/** Text broken into lines that end before `WIDTH`, all but the first indented to `COLUMN`. */
function wrap(text: string): string {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1) as string;
    if (line !== "" && COLUMN + line.length + word.length + 1 > WIDTH) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines.join(`\n${" ".repeat(COLUMN)}`);
}

/** What `--help` says of an option. */
export const helpTextOf = ({ help, multiple }: Option): string => help + (multiple ? "; may be repeated" : "");

function describe(name: string, option: Option): string {
  const { short, value } = option;
  const head = `  ${short ? `-${short}, ` : "    "}--${name}${value ? ` <${value}>` : ""}`;
  const gap = head.length + 2 > COLUMN ? `\n${" ".repeat(COLUMN)}` : " ".repeat(COLUMN - head.length);
  return head + gap + wrap(helpTextOf(option));
}

/** What `--help` prints. */
export function helpOf({ name, usage, about, options, notes }: Command): string {
  const table = { ...options, help: { short: "h", help: "show this" } };
  return [
    `Usage: hubwire ${name}${usage && ` ${usage}`}`,
    about,
    `Options:\n${Object.entries(table)
      .map(([option, row]) => describe(option, row))
      .join("\n")}`,
    ...(notes === undefined ? [] : [notes]),
  ].join("\n\n");
}

/** A key, token or connection string, as far as one can be told by its looks. */
export function looksSecret(text: string): boolean {
  return (
    /SharedAccess(Key|Signature)|HostName=|-----BEGIN|[?& ]sig=/i.test(text) ||
    // 32 and 64 bytes in base64: what hubs make keys of.
    /^([A-Za-z0-9+/]{43}=|[A-Za-z0-9+/]{86}==)$/.test(text.trim())
  );
}

/** Reads the arguments by the command's table. Throws ERR_INVALID_ARGUMENT, which names the option. */
export function parse<O extends Options>({ options }: Pick<Command<O>, "options">, args: readonly string[]): Given<O> {
  const config = Object.fromEntries(
    Object.entries(options as Options).map(([name, { short, value, multiple }]) => [
      name,
      {
        type: value ? ("string" as const) : ("boolean" as const),
        ...(short && { short }),
        ...(multiple && { multiple }),
      },
    ]),
  );
  let parsed;
  try {
    parsed = parseArgs({ args: [...args], options: config, allowPositionals: true });
  } catch (error) {
    throw badArgument(complaint(error as Error & { code?: string }));
  }
  for (const [name, value] of Object.entries(parsed.values)) {
    if ((options[name] as Option).anything) continue;
    for (const text of [value].flat()) {
      if (text === "") throw badArgument(`--${name} was given an empty value`);
      if (typeof text === "string" && looksSecret(text)) {
        throw badArgument(`--${name} was given what looks like a key or a connection string`);
      }
    }
  }
  return parsed as unknown as Given<O>;
}

/** What Node's parser complains of, without the values that it quotes. */
function complaint({ code = "", message }: Error & { code?: string }): string {
  // Our options are of lower-case letters; anything else may be a value that was taken for an option.
  const option = /'(?:-[a-z], )?(--?[a-z][a-z0-9-]{0,30})[ '=]/.exec(message)?.[1] ?? "an option";
  if (code === "ERR_PARSE_ARGS_UNKNOWN_OPTION") return `${option} is not an option of this command; --help lists them`;
  if (/does not take an argument/.test(message)) return `${option} takes no value`;
  return `${option} needs a value; one that begins with - is given as --option=value`;
}
