/** `hubwire send`: connects as the device, sends telemetry, waits for the hub's acknowledgements. */
import type { TelemetryOptions } from "../hub/index.js";
import { badArgument, command, Failure, type Values } from "./command.js";
import { deviceOf, deviceOptions } from "./identity.js";
import { type Io, remark, said } from "./io.js";
import { Pump, type Tally } from "./pump.js";
import { fileOf, integer, pairs, positive } from "./values.js";

/** Bytes of a message, properties included, that the hub takes at most. */
const LARGEST = 256 * 1024;

const options = {
  ...deviceOptions,
  body: { short: "b", value: "text", anything: true, help: "what to send" },
  file: { short: "f", value: "file", help: "send the bytes of a file" },
  lines: { short: "l", help: "send each line of standard input as a message, as it comes; an empty one too" },
  property: {
    value: "name=value",
    multiple: true,
    anything: true,
    help: "an application property; a name alone is one without a value",
  },
  "message-id": { value: "text", help: "of every message" },
  "correlation-id": { value: "text", help: "of every message" },
  "content-type": { value: "text", help: "e.g. application/json; the hub routes on the body only with it and utf-8" },
  "content-encoding": { value: "text", help: "e.g. utf-8" },
  output: { value: "name", help: "the output, for a module" },
  qos: { value: "0|1", help: "quality of service (1)" },
  count: {
    short: "n",
    value: "number",
    help: "send the message so many times (1); with --lines: end after so many lines",
  },
  rate: { short: "r", value: "number", help: "messages a second at most, e.g. 0.5" },
  reconnect: { help: "come back after a lost connection instead of ending" },
} as const;

type SendValues = Values<typeof options>;

/** The body where it is the same each time: an option, a file, the argument, or all of standard input. */
async function bodyOf({ body, file }: SendValues, argument: string | undefined, io: Io): Promise<Uint8Array> {
  if (file !== undefined) return fileOf("file", file, LARGEST);
  const text = body ?? argument;
  if (text !== undefined) return Buffer.from(text);
  // Nobody was told to type.
  if (io.input.isTerminal) throw badArgument("nothing to send: give --body, --file, --lines or standard input");
  return io.input.rest(LARGEST);
}

async function* repeated(body: Uint8Array, count: number): AsyncGenerator<Uint8Array> {
  for (let sent = 0; sent < count; sent++) yield body;
}

function telemetryOf(values: SendValues): TelemetryOptions {
  const named = {
    messageId: values["message-id"],
    correlationId: values["correlation-id"],
    contentType: values["content-type"],
    contentEncoding: values["content-encoding"],
    outputName: values.output,
  };
  return {
    properties: pairs("property", values.property),
    qos: (integer("qos", values.qos, 0, 1) ?? 1) as 0 | 1,
    ...Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined)),
  };
}

/** What is sent, and how many messages that is, where it is known. */
async function sourceOf(
  values: SendValues,
  rest: readonly string[],
  io: Io,
): Promise<{ source: AsyncIterable<Uint8Array>; count: number | undefined }> {
  const { lines, body, file } = values;
  const count = integer("count", values.count, 1, 1_000_000_000);
  if (rest.length > 1) throw badArgument("more arguments than a connection string and a body");
  if ([body, file, lines, rest[0]].filter((given) => given !== undefined).length > 1) {
    throw badArgument("give one of --body, --file, --lines and an argument to send");
  }
  if (lines) return { source: io.input.lines(LARGEST), count };
  return { source: repeated(await bodyOf(values, rest[0], io), count ?? 1), count: count ?? 1 };
}

export const send = command({
  name: "send",
  usage: "[options] [<connection string>] [<body>]",
  about: `Sends telemetry and exits when the hub acknowledged it. The body is --body, the argument, --file, or
standard input, sent byte for byte; with --lines each line of standard input is a message.
Where the connection string is on standard input (-), its first line is, and the body what follows.`,
  options,
  notes: `Ctrl-C sends what was read and waits for its acknowledgement; a second one ends at once.`,

  async run({ values, positionals }, io) {
    const telemetry = telemetryOf(values);
    const rate = positive("rate", values.rate, 1_000_000);
    const { device, rest, connect } = await deviceOf(values, positionals, io, values.reconnect === true);
    const { source, count } = await sourceOf(values, rest, io);
    const pump = new Pump(io, { rate, count });
    device.on("error", (error) => remark(io, said(error)));
    device.on("disconnect", (error) => {
      if (error !== undefined && !values.reconnect) pump.abandon(error);
    });
    try {
      await connect();
      await pump.run(source, (body) => device.sendTelemetry(body, telemetry));
    } finally {
      await device.close();
      conclude(pump.tally, telemetry.qos === 1, io);
    }
    // An interrupted one that had a goal has failed; one without is meant to be interrupted.
    const { acknowledged } = pump.tally;
    if (io.stop.aborted && count !== undefined && acknowledged < count) {
      throw new Failure(`interrupted after ${acknowledged} of ${count}`);
    }
    return 0;
  },
});

/** Says what was sent, if anything was. */
function conclude({ acknowledged, bytes, last }: Tally, confirmed: boolean, io: Io): void {
  if (acknowledged === 0) return;
  const what = `${acknowledged} ${acknowledged === 1 ? "message" : "messages"}`;
  const size = bytes === last * acknowledged ? `${last} bytes` : `${bytes} bytes in all`;
  io.stderr.write(`sent ${what} of ${size}${confirmed ? ", acknowledged" : ""}\n`);
}
