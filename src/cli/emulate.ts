/** `hubwire emulate`: the hub by itself, driven from standard input, for other programs to connect to. */
import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { HubEmulator } from "../emulator/index.js";
import { HubwireError } from "../errors.js";
import { integer, json, parse, type Command } from "./arguments.js";

const COMMANDS = `  c2d <device> <text>                     queue a cloud-to-device message
  method <device> <name> [<json>]         call a direct method and print the answer
  desired <device> <json>                 change desired properties (null deletes)
  twin <device>                           print the twin
  kick <device>                           cut the device's connection
  quit`;

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new HubwireError("ERR_INVALID_ARGUMENT", "that is not JSON", { cause });
  }
}

/** Runs one line of standard input; resolves to false when it asks to stop. */
async function execute(hub: HubEmulator, text: string): Promise<boolean> {
  const [verb = "", deviceId = "", ...words] = text.trim().split(/\s+/);
  // The rest of the line as it was typed, because bodies may hold runs of spaces.
  const rest = text.trim().replace(/^\S+\s+\S+\s*/, "");
  switch (verb) {
    case "":
      return true;
    case "c2d":
      await hub.sendToDevice(deviceId, rest);
      console.log(json({ type: "queued", deviceId }));
      return true;
    case "method": {
      const [name = ""] = words;
      const payload = rest.slice(name.length).trim();
      const answer = await hub.invokeMethod(deviceId, name, payload === "" ? null : parseJson(payload));
      console.log(json({ type: "method", deviceId, name, ...answer }));
      return true;
    }
    case "desired":
      hub.updateDesiredProperties(deviceId, parseJson(rest) as Record<string, unknown>);
      return true;
    case "twin":
      console.log(json({ type: "twin", ...hub.twin(deviceId) }));
      return true;
    case "kick":
      hub.disconnectDevice(deviceId);
      return true;
    case "quit":
      return false;
    default:
      throw new HubwireError("ERR_INVALID_ARGUMENT", `the commands are:\n${COMMANDS}`);
  }
}

export const emulate: Command = {
  help: `Usage: hubwire emulate [options]

Starts a hub on this computer, prints the connection string of each device and then, one JSON document a line,
everything that devices send. Ends with Ctrl-C, or when standard input says quit.

Options:
  -p, --port <number>     port to listen on (8883; 0 takes a free one)
      --host <address>    address to listen on (127.0.0.1 and ::1; any other makes the hub reachable from outside)
      --host-name <name>  what devices call the hub: in its certificate and connection strings (localhost)
  -d, --device <id>       a device to register; may be repeated (device-1)
      --ca-out <file>     where to write the certificate authority for clients to trust (hubwire-ca.pem)
  -h, --help

Standard input:
${COMMANDS}`,

  async run(args) {
    const { values, positionals } = parse(args, {
      port: { type: "string", short: "p" },
      host: { type: "string" },
      "host-name": { type: "string" },
      device: { type: "string", short: "d", multiple: true },
      "ca-out": { type: "string" },
    });
    if (positionals.length > 0) throw new HubwireError("ERR_INVALID_ARGUMENT", "hubwire emulate takes no arguments");
    const port = integer("port", values.port, 0, 65_535) ?? 8883;
    const file = values["ca-out"] ?? "hubwire-ca.pem";
    const hub = await HubEmulator.start({ port, host: values.host, hostName: values["host-name"] });
    try {
      writeFileSync(file, hub.caCertificate);
      console.error(`listening on port ${hub.port}; clients trust it with --ca ${file} --port ${hub.port}`);
      for (const id of values.device ?? ["device-1"]) {
        const { connectionString } = hub.createDevice(id);
        console.log(json({ type: "device", deviceId: id, connectionString }));
      }
      hub.on("telemetry", ({ payload, ...message }) => {
        console.log(json({ type: "telemetry", ...message, body: Buffer.from(payload).toString("utf8") }));
      });
      hub.on("connected", (event) => console.log(json({ type: "connected", ...event })));
      hub.on("disconnected", (event) => console.log(json({ type: "disconnected", ...event })));
      await serve(hub);
    } finally {
      await hub.close();
    }
    return 0;
  },
};

/** Until a signal, or `quit`; the end of standard input alone does not end it, because a service has none. */
async function serve(hub: HubEmulator): Promise<void> {
  await new Promise<void>((resolve) => {
    const lines = createInterface({ input: process.stdin });
    const stop = () => {
      process.off("SIGINT", stop).off("SIGTERM", stop);
      lines.close();
      resolve();
    };
    process.on("SIGINT", stop).on("SIGTERM", stop);
    lines.on("line", (text) => {
      execute(hub, text).then(
        (goOn) => goOn || stop(),
        (error: unknown) => console.error(`hubwire: ${(error as Error).message}`),
      );
    });
  });
}
