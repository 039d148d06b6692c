/** `hubwire emulate`: the hub by itself, driven from standard input, for programs of any language to connect to. */
import { rmSync } from "node:fs";
import { resolve } from "node:path";
import { HubEmulator, type HubEvents, type HubState } from "../emulator/index.js";
import { HubwireError } from "../errors.js";
import { badArgument, command, Failure, looksSecret, type Values } from "./command.js";
import { COMMANDS_HELP, perform, readRequest, type Request, subjectOf, WORDS } from "./emulate-commands.js";
import { writeFileSafely } from "./files.js";
import { type Io, remark, said, stopped } from "./io.js";
import { bodyFields, json, Output, outputOptions, type Told } from "./output.js";
import { lockState, readState, StateFile } from "./state-file.js";
import { fileOf, integer, jsonObjectOf } from "./values.js";

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
  setup: {
    value: "file",
    help: "commands to run before clients are served, as on standard input; not when --state is of an earlier start",
  },
  state: {
    short: "s",
    value: "file",
    help: "keep authority, keys, ids, twins and enrolments there, readable by you alone, and start with them again; for one process at a time",
  },
  limits: { value: "json", help: "quotas that differ from those of an S1 hub, by the names of the emulator's guide" },
  "no-throttling": { help: "lift every rate limit" },
  faults: { value: "json", help: "let things go wrong from the start, as the command faults does" },
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

/** Starts the hub; a port or address that cannot be had is told by what to do about it. */
async function startHub(values: EmulateValues, state: HubState | undefined): Promise<HubEmulator> {
  const port = integer("port", values.port, 0, 65_535) ?? 8883;
  const { host, "host-name": hostName } = values;
  if (host !== undefined && !/^[\w.:%-]+$/.test(host)) throw badArgument("--host takes an address of this machine");
  if (hostName !== undefined && !/^[\w.-]{1,253}$/.test(hostName)) throw badArgument("--host-name takes a host name");
  const limits = {
    ...(values.limits !== undefined && jsonObjectOf("--limits", values.limits)),
    ...(values["no-throttling"] && { throttling: false }),
  };
  const faults = values.faults === undefined ? {} : jsonObjectOf("--faults", values.faults);
  try {
    const hub = await HubEmulator.start({ port, host, hostName, limits, state });
    try {
      hub.faults.set(faults);
    } catch (error) {
      await hub.close();
      throw error;
    }
    return hub;
  } catch (error) {
    throw startFailure(error, port, state !== undefined);
  }
}

function startFailure(error: unknown, port: number, restored: boolean): unknown {
  const { message, cause } = error as Error;
  const code = (cause as { code?: unknown } | undefined)?.code;
  if (code === "EADDRINUSE") {
    return new Failure(
      `port ${port} is taken by another program, perhaps another hubwire emulate: end that one, or choose another ` +
        "port with --port (0: any free one)",
    );
  }
  if (code === "EACCES") return new Failure(`port ${port} is for administrators; choose one from 1024 with --port`);
  if (typeof code === "string" && /^E(ADDRNOTAVAIL|AFNOSUPPORT|INVAL)|^(ENOTFOUND|EAI_)/.test(code)) {
    return new Failure(`--host is no address of this machine (${code})`);
  }
  // Everything else was checked before it came to this.
  if (restored && error instanceof HubwireError && !/^(there is no|the) (limit|fault) /.test(message)) {
    return new Failure(`--state: the file cannot be used (${message}); it is left as it is`);
  }
  return error;
}

/** Tells of everything that happens at the hub. */
function tell(hub: HubEmulator, print: (record: Told) => void): void {
  hub.on("telemetry", ({ payload, ...message }) => print({ type: "telemetry", ...message, ...bodyFields(payload) }));
  const events: readonly (readonly [Exclude<keyof HubEvents, "telemetry" | "changed" | "error">, type: string])[] = [
    ["connected", "connected"],
    ["disconnected", "disconnected"],
    ["refused", "refused"],
    ["violation", "violation"],
    ["subscribed", "subscribed"],
    ["unsubscribed", "unsubscribed"],
    ["reportedProperties", "reported"],
    ["twinRefused", "twinRefused"],
    ["throttled", "throttled"],
    ["completed", "completed"],
    ["feedback", "feedback"],
    ["registered", "registered"],
  ];
  for (const [event, type] of events) hub.on(event, (fact: object) => print({ type, ...fact }));
  hub.on("error", (error) => print({ type: "hubError", code: error.code, message: error.message }));
}

/** Registers what the options name, as far as the state does not hold it already. */
function populate(hub: HubEmulator, values: EmulateValues): void {
  const { device, module: modules, "x509-device": certified, enrollment, setup } = values;
  const ids = new Set(hub.identities().map(({ deviceId, moduleId }) => [deviceId, moduleId].join("/")));
  const add = (deviceId: string, moduleId: string | undefined, make: () => unknown): void => {
    const id = [deviceId, moduleId].join("/");
    if (!ids.has(id)) make();
    ids.add(id);
  };
  const named = [device, modules, certified, enrollment, setup].some((option) => option !== undefined);
  for (const id of device ?? (named || ids.size > 0 ? [] : ["device-1"]))
    add(id, undefined, () => hub.createDevice(id));
  for (const text of modules ?? []) {
    const [deviceId = "", moduleId = "", ...more] = text.split("/");
    if (moduleId === "" || more.length > 0) throw badArgument("--module takes device/module");
    add(deviceId, undefined, () => hub.createDevice(deviceId));
    add(deviceId, moduleId, () => hub.createModule(deviceId, moduleId));
  }
  for (const id of certified ?? []) add(id, undefined, () => hub.createDevice(id, { x509: true }));
  const enrolled = new Set(hub.enrollments().map(({ registrationId }) => registrationId));
  for (const id of enrollment ?? []) if (!enrolled.has(id)) hub.createEnrollment(id);
}

/** Everybody that may connect, as it is told at the start; certificates made by `--x509-device` are files. */
function everybody(hub: HubEmulator, values: EmulateValues): { devices: object[]; enrollments: object[] } {
  const devices = hub.identities().map(({ deviceId, moduleId, connectionString, certificate, key }) => {
    const who = { deviceId, ...(moduleId !== undefined && { moduleId }), connectionString };
    if (certificate === undefined || key === undefined) return who;
    if (!values["x509-device"]?.includes(deviceId)) return { ...who, certificate, key };
    const [certFile = "", keyFile = ""] = ["pem", "key"].map((end) =>
      resolve(values.certs ?? "", `${deviceId}.${end}`),
    );
    writeFileSafely("certs", certFile, certificate, 0o644);
    writeFileSafely("certs", keyFile, key, 0o600);
    return { ...who, certFile, keyFile };
  });
  return { devices, enrollments: hub.enrollments() };
}

/** Runs the commands of a file, one after the other; the first that fails ends it. */
async function setUp(hub: HubEmulator, file: string, print: (record: Told) => void): Promise<void> {
  const lines = fileOf("setup", file, 64 * LONGEST_LINE)
    .toString("utf8")
    .split(/\r?\n/);
  for (const [index, line] of lines.entries()) {
    if (line.trim() === "") continue;
    try {
      const request = readRequest(line);
      print(answerOf(request, await perform(hub, request)));
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
async function serve(
  hub: HubEmulator,
  state: StateFile | undefined,
  io: Io,
  print: (record: Told) => void,
): Promise<void> {
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
    const work = answer(hub, state, request, print).catch((error: unknown) =>
      refuse(error, { ...(id !== undefined && { id }), command: looksSecret(name) ? undefined : name }, io, print),
    );
    pending.add(work);
    void work.finally(() => pending.delete(work));
    if (pending.size >= MOST_PENDING) await Promise.race(pending);
  }
  await stopped(io);
}

/** What a command changed is on the disk before it is answered. */
async function answer(
  hub: HubEmulator,
  state: StateFile | undefined,
  request: Request,
  print: (record: Told) => void,
): Promise<void> {
  const result = await perform(hub, request);
  state?.flush();
  print(answerOf(request, result));
}

/** Why a command failed that is no fault of its sender; an unexpected error's text may quote anything. */
const reasonOf = (error: unknown): string =>
  error instanceof Failure ? error.message : `the command failed (${(error as Error).name})`;

/** A command that failed is answered, and said to the person who may have typed it. */
function refuse(error: unknown, about: object | undefined, io: Io, print: (record: Told) => void): void {
  const fault = error instanceof HubwireError ? error : new HubwireError("ERR_STORE", reasonOf(error));
  print({ type: "error", ...about, code: fault.code, message: fault.message });
  if (about === undefined) remark(io, said(fault));
}

/** From the start of the hub to its end. */
async function runHub(values: EmulateValues, io: Io): Promise<void> {
  const caFile = values["ca-out"] ?? "hubwire-ca.pem";
  const readyFile = values["ready-file"];
  const output = new Output(io, values.json);
  const print = (record: Told): void => void output.print(record);
  const kept = values.state === undefined ? undefined : readState(values.state);
  const hub = await startHub(values, kept);
  const state =
    values.state === undefined
      ? undefined
      : new StateFile(values.state, hub, io.clock, ({ message }) => remark(io, message));
  try {
    tell(hub, print);
    populate(hub, values);
    if (values.setup !== undefined && kept === undefined) await setUp(hub, values.setup, print);
    state?.save();
    writeFileSafely("ca-out", caFile, hub.caCertificate, 0o644);
    const { port, hostName, idScope } = hub;
    const ready = { port, hostName, idScope, caFile: resolve(caFile) };
    const { devices, enrollments } = everybody(hub, values);
    for (const device of devices) print({ type: "device", ...device });
    for (const enrollment of enrollments) print({ type: "enrollment", ...enrollment });
    print({ type: "listening", ...ready });
    io.stderr.write(`listening on port ${port}; clients trust it with --ca ${caFile} --port ${port}\n`);
    if (readyFile !== undefined) {
      const text = json({ ...ready, pid: process.pid, devices, enrollments });
      writeFileSafely("ready-file", readyFile, `${text}\n`, 0o600);
    }
    await serve(hub, state, io, print);
  } finally {
    await hub.close();
    state?.close();
    if (readyFile !== undefined) rmSync(readyFile, { force: true });
  }
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
    const unlock = values.state === undefined ? undefined : lockState(values.state);
    try {
      await runHub(values, io);
    } finally {
      unlock?.();
    }
    return 0;
  },
});
