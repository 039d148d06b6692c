/**
 * What a command is given of the process it runs in, so that a test can run it without one.
 *
 * Invariant: commands reach the streams, the environment, the clock and the signals through this alone.
 */
import type { Writable } from "node:stream";
import type { Clock } from "../clock.js";
import type { HubwireError } from "../errors.js";
import type { Input } from "./input.js";

/** A stream to print to; `isTTY` where a person reads it. */
export type OutputStream = Writable & { readonly isTTY?: boolean };

export interface Io {
  /** What is read of standard input, by one reader for all of a command. */
  readonly input: Input;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** Aborted by SIGINT and SIGTERM, and when nobody reads standard output any more: finish what is in flight and end. */
  readonly stop: AbortSignal;
}

/** The reason of `stop` where nobody reads standard output any more: no failure, and nothing to say. */
export const BROKEN_PIPE = "broken pipe";

/** A remark for the person at the terminal; standard output is for data. */
export function remark(io: Io, text: string): void {
  io.stderr.write(`hubwire: ${text}\n`);
}

/** Resolves when the command is asked to end. */
export function stopped({ stop }: Io): Promise<void> {
  return new Promise((resolve) => {
    if (stop.aborted) resolve();
    else stop.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** What the library calls its options, and what they are called here. */
const OPTION_NAMES: readonly (readonly [RegExp, string])[] = [
  [/\btls\.(ca|cert|key)\b/g, "--$1"],
  [/\bx509 \(\{ cert, key \}\)/g, "--cert with --key"],
  [/\bsharedAccessKey, sharedAccessSignature, sas and --cert/g, "SharedAccessKey, SharedAccessSignature and --cert"],
  [/\b(symmetricKey), groupKey and --cert/g, "--key-file, --group-key-file and --cert"],
  [/\bsymmetricKey is\b/g, "the key is"],
  [/, or use protocol mqtt\b/g, ""],
  [/\boption (proxy|host|port)\b/g, "--$1"],
  [/\boption path\b/g, "the path"],
  [/ \(for SOCKS there is createConnection\)/g, ""],
  [/\bconnectTimeout\b/g, "--timeout"],
  [/\b(messageId|correlationId|contentType|contentEncoding|outputName|idScope|registrationId)\b/g, "--$1"],
];

/** Puts a message of the library into the words of the command line. */
function inOptions(message: string): string {
  const renamed = OPTION_NAMES.reduce((text, [pattern, name]) => text.replace(pattern, name), message);
  return renamed.replace(/--[a-z]+(?:[A-Z][a-z]+)+\b/g, (name) =>
    name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`),
  );
}

/** An error as a person at the command line reads it. */
export const said = ({ code, message }: HubwireError): string => `${inOptions(message)} (${code})`;
