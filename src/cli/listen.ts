/** `hubwire listen`: prints what the hub sends to a device, one JSON document a line. */
import { DeviceClient } from "../hub/index.js";
import { HubwireError } from "../errors.js";
import {
  clientOptions,
  connectionHelp,
  connectionOptions,
  connectionString,
  integer,
  json,
  parse,
  type Command,
} from "./arguments.js";

/** Text where the bytes are text, base64 where they are not, so that no byte is lost on the way to the screen. */
function printable(payload: Uint8Array): { body: string } | { base64: string } {
  try {
    return { body: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(payload) };
  } catch {
    return { base64: Buffer.from(payload).toString("base64") };
  }
}

export const listen: Command = {
  help: `Usage: hubwire listen [options] [<connection string>]

Prints each cloud-to-device message as one line of JSON and completes it. Ends with Ctrl-C, after --count
lines or after --seconds.

Options:
${connectionHelp}
      --methods                   answer direct methods with status 200 and the payload, and print them
      --twin                      print the twin, and each change of the desired properties
  -n, --count <number>            end after so many lines
  -s, --seconds <number>          end after so long
      --reconnect                 come back after a lost connection instead of ending
  -h, --help`,

  async run(args) {
    const { values, positionals } = parse(args, {
      ...connectionOptions,
      methods: { type: "boolean" },
      twin: { type: "boolean" },
      count: { type: "string", short: "n" },
      seconds: { type: "string", short: "s" },
      reconnect: { type: "boolean" },
    });
    const { text, rest } = connectionString(values["connection-string"], positionals);
    if (rest.length > 0) throw new HubwireError("ERR_INVALID_ARGUMENT", "hubwire listen takes one argument");
    const count = integer("count", values.count, 1, 1_000_000_000) ?? Infinity;
    const seconds = integer("seconds", values.seconds, 1, 2_000_000);
    const base = clientOptions(values);
    const device = new DeviceClient(text, values.reconnect ? { ...base, reconnect: {} } : base);

    let printed = 0;
    let finish!: () => void;
    let fail!: (error: HubwireError) => void;
    const over = new Promise<void>((resolve, reject) => {
      finish = resolve;
      fail = reject;
    });
    over.catch(() => {});
    const print = (value: object) => {
      if (printed >= count) return;
      console.log(json(value));
      if (++printed >= count) finish();
    };

    device.on("error", (error) => console.error(`hubwire: ${error.message} (${error.code})`));
    device.on("disconnect", (error) => {
      if (error !== undefined && !values.reconnect) fail(error);
    });
    process.once("SIGINT", finish);
    process.once("SIGTERM", finish);
    let timer: NodeJS.Timeout | undefined;
    try {
      await device.connect();
      await device.messages(({ payload, ...message }) => print({ type: "message", ...message, ...printable(payload) }));
      if (values.methods) {
        void device.onMethod("*", async ({ name, payload }) => {
          print({ type: "method", name, payload });
          return { status: 200, payload };
        });
      }
      if (values.twin) {
        void device.onDesiredProperties((patch, version) => print({ type: "desired", version, patch }));
        print({ type: "twin", ...(await device.getTwin()) });
      }
      console.error("listening; Ctrl-C ends");
      if (seconds !== undefined) timer = setTimeout(finish, seconds * 1000);
      await over;
    } finally {
      clearTimeout(timer);
      process.off("SIGINT", finish);
      process.off("SIGTERM", finish);
      await device.close();
    }
    return 0;
  },
};
