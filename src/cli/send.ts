/** `hubwire send`: connects as the device, sends telemetry, waits for the hub's acknowledgement. */
import { DeviceClient } from "../hub/index.js";
import { HubwireError } from "../errors.js";
import {
  clientOptions,
  connectionHelp,
  connectionOptions,
  connectionString,
  integer,
  pairs,
  parse,
  readNamed,
  type Command,
} from "./arguments.js";

/** The whole of standard input; empty where it is a terminal, because nobody was told to type. */
async function standardInput(): Promise<Buffer | undefined> {
  if (process.stdin.isTTY) return undefined;
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function bodyOf(option: string | undefined, file: string | undefined, argument: string | undefined) {
  if (file !== undefined) return readNamed("file", file);
  const body = option ?? argument ?? (await standardInput());
  if (body === undefined) {
    throw new HubwireError("ERR_INVALID_ARGUMENT", "nothing to send: give --body, --file or standard input");
  }
  return body;
}

export const send: Command = {
  help: `Usage: hubwire send [options] [<connection string>] [<body>]

Sends telemetry and exits when the hub acknowledged it. The body is --body, the argument, --file, or
standard input, sent byte for byte.

Options:
${connectionHelp}
  -b, --body <text>               what to send
  -f, --file <file>               send the bytes of a file
      --property <name=value>     an application property; may be repeated
      --message-id <text>
      --correlation-id <text>
      --content-type <text>       e.g. application/json
      --content-encoding <text>   e.g. utf-8
      --qos <0|1>                 quality of service (1)
  -n, --count <number>            send the message so many times (1)
  -h, --help`,

  async run(args) {
    const { values, positionals } = parse(args, {
      ...connectionOptions,
      body: { type: "string", short: "b" },
      file: { type: "string", short: "f" },
      property: { type: "string", multiple: true },
      "message-id": { type: "string" },
      "correlation-id": { type: "string" },
      "content-type": { type: "string" },
      "content-encoding": { type: "string" },
      qos: { type: "string" },
      count: { type: "string", short: "n" },
    });
    const { text, rest } = connectionString(values["connection-string"], positionals);
    if (rest.length > 1)
      throw new HubwireError("ERR_INVALID_ARGUMENT", "more arguments than a connection string and a body");
    const count = integer("count", values.count, 1, 1_000_000) ?? 1;
    const qos = (integer("qos", values.qos, 0, 1) ?? 1) as 0 | 1;
    const properties = pairs("property", values.property);
    const device = new DeviceClient(text, clientOptions(values));
    const body = await bodyOf(values.body, values.file, rest[0]);

    const options = {
      properties,
      qos,
      ...(values["message-id"] === undefined ? {} : { messageId: values["message-id"] }),
      ...(values["correlation-id"] === undefined ? {} : { correlationId: values["correlation-id"] }),
      ...(values["content-type"] === undefined ? {} : { contentType: values["content-type"] }),
      ...(values["content-encoding"] === undefined ? {} : { contentEncoding: values["content-encoding"] }),
    };
    try {
      await device.connect();
      // In slices, so that a large count does not run into the bounds of the client's queue.
      for (let sent = 0; sent < count; sent += 500) {
        const slice = Math.min(500, count - sent);
        await Promise.all(Array.from({ length: slice }, () => device.sendTelemetry(body, options)));
      }
    } finally {
      await device.close();
    }
    const bytes = typeof body === "string" ? Buffer.byteLength(body) : body.byteLength;
    console.error(
      `sent ${count} ${count === 1 ? "message" : "messages"} of ${bytes} bytes${qos === 1 ? ", acknowledged" : ""}`,
    );
    return 0;
  },
};
