/** `hubwire emulate`: the hub by itself, driven from standard input, for programs of any language to connect to. */
import { rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { HubEmulator, type HubEvents } from "../emulator/index.js";
import { HubwireError } from "../errors.js";
import { badArgument, command, Failure, looksSecret, type Values } from "./command.js";
import { COMMANDS_HELP, perform, readRequest, type Request, subjectOf, WORDS } from "./emulate-commands.js";
import { writeFileSafely } from "./files.js";
import { type Io, remark, said, stopped } from "./io.js";
import { bodyFields, json, Output, outputOptions, type Told } from "./output.js";
import { fileOf, integer } from "./values.js";

/** Bytes of a line of standard input: a message of 256 KiB fits in base64, and so does a certificate beside it. */
const LONGEST_LINE = 1024 * 1024;
/** Commands that are not answered yet; the next one is not read before. */
const MOST_PENDING = 1_000;

const options = {
  port: { short: "p", value: "number", help: "port to listen on (8883; 0 takes a free one)" },
  host: {
    value: "address",
    help: "address to listen on (127.0.0.1 and ::1; any other makes the hub reachable from outside)",
  },
  "host-name": {
    value: "name",
    help: "what devices call the hub: in its certificate and connection strings (localhost)",
  },
  device: { short: "d", value: "id", multiple: true, help: "a device to register (device-1)" },
  module: { short: "m", value: "device/module", multiple: true, help: "a module to register, and its device at need" },
  "x509-device": {
    value: "id",
    multiple: true,
    help: "a device with a certificate made for it: ID.pem and ID.key in the folder of --certs",
  },
  certs: { value: "folder", help: "where --x509-device writes (the working folder)" },
  enrollment: { value: "id", multiple: true, help: "a registration id to enrol with the provisioning service" },
  setup: { value: "file", help: "commands to run before clients are served, as on standard input" },
  "ca-out": {
    value: "file",
    help: "where to write the certificate authority for clients to trust (hubwire-ca.pem)",
  },
  "ready-file": {
    value: "file",
    help: "written once clients are served, as JSON: port, idScope, caFile, pid, devices, enrollments; gone when the command ends",
  },
  ...outputOptions,
} as const;

type EmulateValues = Values<typeof options>;

/** What the ready file tells of. */
interface Made {
  devices: object[];
  enrollments: object[];
}

/** Starts the hub; a port or address that cannot be had is told by what to do about it. */
async function startHub(values: EmulateValues): Promise<HubEmulator> {
  const port = integer("port", values.port, 0, 65_535) ?? 8883;
  const { host, "host-name": hostName } = values;
  if (host !== undefined && !/^[\w.:%-]+$/.test(host)) throw badArgument("--host takes an address of this machine");
  if (hostName !== undefined && !/^[\w.-]{1,253}$/.test(hostName)) throw badArgument("--host-name takes a host name");
  try {
    return await HubEmulator.start({ port, host, hostName });
  } catch (error) {
    const code = ((error as Error).cause as { code?: unknown } | undefined)?.code;
    if (code === "EADDRINUSE") {
      throw new Failure(
        `port ${port} is taken by another program, perhaps another hubwire emulate: end that one, or choose another ` +
          "port with --port (0: any free one)",
      );
    }
    if (code === "EACCES") throw new Failure(`port ${port} is for administrators; choose one from 1024 with --port`);
    if (typeof code === "string" && /^E(ADDRNOTAVAIL|AFNOSUPPORT|INVAL)|^(ENOTFOUND|EAI_)/.test(code)) {
      throw new Failure(`--host is no address of this machine (${code})`);
    }
    throw error;
  }
}

/** Tells of everything that happens at the hub. */
function tell(hub: HubEmulator, print: (record: Told) => void): void {
  hub.on("telemetry", ({ payload, ...message }) => print({ type: "telemetry", ...message, ...bodyFields(payload) }));
  const events: readonly (readonly [keyof HubEvents, type: string])[] = [
    ["connected", "connected"],
    ["disconnected", "disconnected"],
    ["refused", "refused"],
    ["violation", "violation"],
    ["subscribed", "subscribed"],
    ["reportedProperties", "reported"],
    ["completed", "completed"],
    ["registered", "registered"],
  ];
  for (const [event, type] of events) hub.on(event, (fact: object) => print({ type, ...fact }));
}

/** Registers what the options name. */
async function populate(hub: HubEmulator, values: EmulateValues, print: (record: Told) => void): Promise<Made> {
  const made: Made = { devices: [], enrollments: [] };
  const identity = (fields: { deviceId: string; moduleId?: string | undefined }, more: object = {}): void => {
    const { deviceId, moduleId } = fields;
    const connectionString = hub.connectionString(deviceId, { moduleId });
    const entry = { deviceId, ...(moduleId !== undefined && { moduleId }), connectionString, ...more };
    made.devices.push(entry);
    print({ type: "device", ...entry });
  };
  const others = values.module ?? values["x509-device"] ?? values.enrollment ?? values.setup;
  for (const id of values.device ?? (others === undefined ? ["device-1"] : [])) identity(hub.createDevice(id));
  for (const text of values.module ?? []) {
    const [deviceId = "", moduleId = "", ...more] = text.split("/");
    if (moduleId === "" || more.length > 0) throw badArgument("--module takes device/module");
    if (!exists(hub, deviceId)) identity(hub.createDevice(deviceId));
    identity(hub.createModule(deviceId, moduleId));
  }
  for (const deviceId of values["x509-device"] ?? []) {
    const { certificate = "", key = "" } = hub.createDevice(deviceId, { x509: true });
    const [certFile, keyFile] = ["pem", "key"].map((end) => resolve(join(values.certs ?? "", `${deviceId}.${end}`)));
    writeFileSafely("certs", certFile as string, certificate, 0o644);
    writeFileSafely("certs", keyFile as string, key, 0o600);
    identity({ deviceId }, { certFile, keyFile });
  }
  for (const registrationId of values.enrollment ?? []) {
    const { idScope, primaryKey } = hub.createEnrollment(registrationId);
    made.enrollments.push({ registrationId, idScope, primaryKey });
    print({ type: "enrollment", registrationId, idScope, primaryKey });
  }
  return made;
}

function exists(hub: HubEmulator, deviceId: string): boolean {
  try {
    hub.twin(deviceId);
    return true;
  } catch (error) {
    if ((error as HubwireError).code === "ERR_DEVICE_NOT_FOUND") return false;
    throw error;
  }
}

/** Runs the commands of a file, one after the other; the first that fails ends it. */
async function setUp(hub: HubEmulator, file: string, made: Made, print: (record: Told) => void): Promise<void> {
  const lines = fileOf("setup", file, 64 * LONGEST_LINE)
    .toString("utf8")
    .split(/\r?\n/);
  for (const [index, line] of lines.entries()) {
    if (line.trim() === "") continue;
    try {
      const request = readRequest(line);
      const result = answerOf(request, await perform(hub, request));
      print(result);
      const { type: _type, id: _id, command: name, ...entry } = result;
      if (name === "createDevice" || name === "createModule") made.devices.push(entry);
      if (name === "createEnrollment" || name === "createEnrollmentGroup") made.enrollments.push(entry);
    } catch (error) {
      if (!(error instanceof HubwireError)) throw error;
      throw badArgument(`--setup: line ${index + 1}: ${error.message}`);
    }
  }
}

function answerOf(request: Request, result: object): Told {
  const { command: name, id } = request;
  return { type: "answer", ...(id !== undefined && { id }), command: name, ...subjectOf(request), ...result };
}

/** Runs the commands of standard input until `quit`; its end alone ends nothing, because a service has none. */
async function serve(hub: HubEmulator, io: Io, print: (record: Told) => void): Promise<void> {
  const pending = new Set<Promise<void>>();
  for (;;) {
    let request: Request | undefined;
    try {
      const line = await io.input.line(LONGEST_LINE);
      if (line === undefined) break;
      if (line.length === 0) continue;
      request = readRequest(line.toString("utf8"));
      if (request.command === "quit") return;
    } catch (error) {
      refuse(error, undefined, io, print);
      continue;
    }
    const { command: name, id } = request;
    const work = answer(hub, request, print).catch((error: unknown) =>
      refuse(error, { ...(id !== undefined && { id }), command: looksSecret(name) ? undefined : name }, io, print),
    );
    pending.add(work);
    void work.finally(() => pending.delete(work));
    if (pending.size >= MOST_PENDING) await Promise.race(pending);
  }
  await stopped(io);
}

async function answer(hub: HubEmulator, request: Request, print: (record: Told) => void): Promise<void> {
  print(answerOf(request, await perform(hub, request)));
}

/** A command that failed is answered, and said to the person who may have typed it. */
function refuse(error: unknown, about: object | undefined, io: Io, print: (record: Told) => void): void {
  const fault = error instanceof HubwireError ? error : badArgument(`the command failed (${(error as Error).name})`);
  print({ type: "error", ...about, code: fault.code, message: fault.message });
  if (about === undefined) remark(io, said(fault));
}

export const emulate = command({
  name: "emulate",
  usage: "[options]",
  about: `Starts a hub on this computer, prints the connection string of each device and then everything that happens: one
JSON document a line, or a readable line on a terminal. Ends with Ctrl-C, SIGTERM, or when standard input says quit.`,
  options,
  notes: `Standard input, one JSON object a line; ? may be left out. Each is answered by one line of type answer or error
with the id that it was given:
  {"command":"c2d","id":1,"deviceId":"pump","body":"open","properties":{"unit":"C"}}

${COMMANDS_HELP}

For a person: ${WORDS}`,

  async run({ values, positionals }, io) {
    if (positionals.length > 0) throw badArgument("hubwire emulate takes no arguments, only options");
    const caFile = values["ca-out"] ?? "hubwire-ca.pem";
    const readyFile = values["ready-file"];
    const output = new Output(io, values.json);
    const print = (record: Told): void => void output.print(record);
    const hub = await startHub(values);
    try {
      writeFileSafely("ca-out", caFile, hub.caCertificate, 0o644);
      tell(hub, print);
      const made = await populate(hub, values, print);
      if (values.setup !== undefined) await setUp(hub, values.setup, made, print);
      const { port, hostName, idScope } = hub;
      const ready = { port, hostName, idScope, caFile: resolve(caFile) };
      print({ type: "listening", ...ready });
      io.stderr.write(`listening on port ${port}; clients trust it with --ca ${caFile} --port ${port}\n`);
      if (readyFile !== undefined) {
        writeFileSafely("ready-file", readyFile, `${json({ ...ready, pid: process.pid, ...made })}\n`, 0o600);
      }
      await serve(hub, io, print);
    } finally {
      await hub.close();
      if (readyFile !== undefined) rmSync(readyFile, { force: true });
    }
    return 0;
  },
});
