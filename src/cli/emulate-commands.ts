/**
 * What `hubwire emulate` can be told while it runs: the service side of the hub, one JSON object a line, or a few words
 * for a person.
 *
 * Invariants: a command does all that it says or nothing, and is answered once; a field that is unknown, missing or of
 * another type is refused before anything is done.
 */
import {
  type CreateOptions,
  createAuthority,
  type EnrollmentOptions,
  type Faults,
  type HubEmulator,
  type IssuedCertificate,
  restoreAuthority,
  type SendOptions,
  type Twin,
} from "../emulator/index.js";
import { badArgument, looksSecret } from "./command.js";
import { json } from "./output.js";
import { jsonObjectOf, jsonOf } from "./values.js";

/** What a field must be; those with `?` may be left out. */
type Kind = "text" | "texts" | "number" | "boolean" | "object" | "any";
type Fields = Readonly<Record<string, Kind | `${Kind}?`>>;

/** The values of a command's fields, checked. */
type Values = Readonly<Record<string, any>>;

interface Action {
  readonly help: string;
  readonly fields: Fields;
  /** Resolves to what the answer tells besides the command. */
  run(hub: HubEmulator, values: Values): object | Promise<object>;
}

const who: Fields = { deviceId: "text", moduleId: "text?" };
const body: Fields = { body: "any?", base64: "text?" };
const credentials: Fields = {
  primaryKey: "text?",
  secondaryKey: "text?",
  thumbprint: "texts?",
  certificateAuthority: "texts?",
};

/** The bytes of a message: `base64`, or `body`, which is text or any other JSON value. */
function bytesOf({ body: value, base64 }: Values): Buffer {
  if (base64 !== undefined) {
    if (value !== undefined) throw badArgument("give body or base64, not both");
    // Of a byte there are two characters at least.
    if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2,3}={0,2})?$/.test(base64)) throw badArgument("base64 is not base64");
    return Buffer.from(base64 as string, "base64");
  }
  return Buffer.from(typeof value === "string" ? value : value === undefined ? "" : json(value));
}

/** A twin with all that a copy by spreading leaves out. */
function wholeTwin(twin: Twin): object {
  const { properties, etag, version, connectionState, lastActivityTime, status, authenticationType } = twin;
  const { x509Thumbprint, cloudToDeviceMessageCount } = twin;
  const identity = { status, authenticationType, x509Thumbprint, connectionState, lastActivityTime };
  return { ...twin, properties, etag, version, ...identity, cloudToDeviceMessageCount };
}

/** The faults of all, or of one identity. */
const faultsAt = (hub: HubEmulator, { deviceId, moduleId }: Values): Faults => {
  if (deviceId === undefined && moduleId !== undefined) throw badArgument("faults of a module need its deviceId too");
  return deviceId === undefined ? hub.faults : hub.faultsOf(deviceId, { moduleId });
};

/** A certificate of the hub's own making that a device must not trust, or that of the start again. */
function showCertificate(hub: HubEmulator, kind: string): void {
  const { certificate: root, privateKey } = hub.exportState().authority;
  const authority = restoreAuthority(root, privateKey);
  const day = 86_400_000;
  const names = { commonName: hub.hostName, dnsNames: [hub.hostName, "localhost"], ipAddresses: ["127.0.0.1", "::1"] };
  const make: Record<string, () => IssuedCertificate | undefined> = {
    own: () => undefined,
    expired: () => authority.issue({ ...names, notBefore: Date.now() - 2 * day, notAfter: Date.now() - day }),
    otherName: () => authority.issue({ commonName: "elsewhere.invalid", dnsNames: ["elsewhere.invalid"] }),
    otherAuthority: () => createAuthority().issue(names),
  };
  if (!Object.hasOwn(make, kind)) throw badArgument("kind is own, expired, otherName or otherAuthority");
  const made = make[kind]?.();
  hub.useCertificate(made && { certificate: made.chain, key: made.key });
}

const without = (values: Values, ...names: string[]): Values =>
  Object.fromEntries(Object.entries(values).filter(([name]) => !names.includes(name)));

const ACTIONS: Readonly<Record<string, Action>> = {
  c2d: {
    help: "queue a cloud-to-device message, or one to a module's input; a completed line tells how it ended",
    fields: {
      ...who,
      inputName: "text?",
      ...body,
      properties: "object?",
      messageId: "text?",
      correlationId: "text?",
      userId: "text?",
      to: "text?",
      contentType: "text?",
      contentEncoding: "text?",
      expiry: "text?",
      ack: "text?",
    },
    async run(hub, values) {
      const { deviceId, expiry } = values;
      const options = { ...without(values, "deviceId", "body", "base64"), ...(expiry && { expiry: new Date(expiry) }) };
      const { messageId } = await hub.sendToDevice(deviceId, bytesOf(values), options as SendOptions);
      return { messageId };
    },
  },
  method: {
    help: "call a direct method; base64 sends bytes that are no JSON; times in milliseconds",
    fields: {
      ...who,
      name: "text",
      payload: "any?",
      base64: "text?",
      connectTimeout: "number?",
      responseTimeout: "number?",
    },
    async run(hub, { deviceId, name, payload, base64, ...options }) {
      const sent = base64 === undefined ? payload : bytesOf({ base64 });
      const answer = await hub.invokeMethod(deviceId, name, sent, options);
      return { name, status: answer.status, payload: answer.payload };
    },
  },
  desired: {
    help: "change desired properties; null deletes one; with etag only if the twin still has it",
    fields: { ...who, patch: "object", etag: "text?" },
    run: (hub, { deviceId, patch, ...more }) => ({ version: hub.updateDesiredProperties(deviceId, patch, more) }),
  },
  replaceDesired: {
    help: "replace the desired properties",
    fields: { ...who, document: "object", etag: "text?" },
    run: (hub, { deviceId, document, ...more }) => ({
      version: hub.replaceDesiredProperties(deviceId, document, more),
    }),
  },
  tags: {
    help: "change tags, which devices never see",
    fields: { ...who, patch: "object", etag: "text?" },
    run(hub, { deviceId, patch, ...more }) {
      hub.updateTags(deviceId, patch, more);
      return {};
    },
  },
  replaceTags: {
    help: "replace the tags",
    fields: { ...who, document: "object", etag: "text?" },
    run(hub, { deviceId, document, ...more }) {
      hub.replaceTags(deviceId, document, more);
      return {};
    },
  },
  twin: {
    help: "read the twin",
    fields: who,
    run: (hub, { deviceId, moduleId }) => ({ twin: wholeTwin(hub.twin(deviceId, { moduleId })) }),
  },
  createDevice: {
    help: "x509 makes a certificate and key, which the answer holds; thumbprint and certificateAuthority (PEM) take yours",
    fields: { deviceId: "text", ...credentials, enabled: "boolean?", x509: "boolean?" },
    run: (hub, values) => hub.createDevice(values["deviceId"], without(values, "deviceId") as CreateOptions),
  },
  createModule: {
    help: "the same for a module of a device",
    fields: { deviceId: "text", moduleId: "text", ...credentials, enabled: "boolean?", x509: "boolean?" },
    run(hub, values) {
      const { deviceId, moduleId } = values;
      return hub.createModule(deviceId, moduleId, without(values, "deviceId", "moduleId") as CreateOptions);
    },
  },
  updateDevice: {
    help: "enable or disable an identity, or give it other credentials",
    fields: { ...who, ...credentials, enabled: "boolean?" },
    run(hub, values) {
      const { deviceId, moduleId } = values;
      hub.updateDevice(deviceId, without(values, "deviceId", "moduleId") as CreateOptions, { moduleId });
      return {};
    },
  },
  removeDevice: {
    help: "remove a device with its modules, or one module",
    fields: who,
    run(hub, { deviceId, moduleId }) {
      hub.removeDevice(deviceId, { moduleId });
      return {};
    },
  },
  devices: {
    help: "every device and module, with its keys",
    fields: {},
    run: (hub) => ({ devices: hub.identities() }),
  },
  connectionString: {
    help: "with keyName, by a shared access policy's key",
    fields: { ...who, keyName: "text?", gatewayHostName: "text?" },
    run: (hub, { deviceId, ...options }) => ({ connectionString: hub.connectionString(deviceId, options) }),
  },
  createEnrollment: {
    help: "enrol one registration id with the provisioning service",
    fields: {
      registrationId: "text",
      ...credentials,
      deviceId: "text?",
      assignedHub: "text?",
      payload: "any?",
      enabled: "boolean?",
    },
    run(hub, values) {
      const options = without(values, "registrationId") as EnrollmentOptions;
      return { ...hub.createEnrollment(values["registrationId"], options) };
    },
  },
  createEnrollmentGroup: {
    help: "enrol all who prove a group's key or authority",
    fields: { ...credentials, assignedHub: "text?", payload: "any?", enabled: "boolean?" },
    run: (hub, values) => ({ ...hub.createEnrollmentGroup(values as EnrollmentOptions) }),
  },
  enrollments: {
    help: "every enrolment and group, with its keys",
    fields: {},
    run: (hub) => ({ enrollments: hub.enrollments() }),
  },
  faults: {
    help: "let things go wrong, for all or for one device; set is an object of the faults, clear takes all away first",
    fields: { deviceId: "text?", moduleId: "text?", set: "object?", clear: "boolean?" },
    run(hub, values) {
      const faults = faultsAt(hub, values);
      // At once, so that a wrong one changes nothing.
      const gone = values["clear"] ? ["seed", ...Object.keys(faults.settings())] : [];
      faults.set({ ...Object.fromEntries(gone.map((name) => [name, undefined])), ...values["set"] });
      return { faults: faults.settings() };
    },
  },
  certificate: {
    help: "show another certificate from now on: kind is expired, otherName, otherAuthority, or own; or one of yours (PEM)",
    fields: { kind: "text?", certificate: "text?", key: "text?" },
    run(hub, { kind, certificate, key }) {
      if ((certificate === undefined) !== (key === undefined) || (key !== undefined && kind !== undefined))
        throw badArgument("certificate needs its key, and no kind");
      if (certificate === undefined) showCertificate(hub, kind ?? "own");
      else hub.useCertificate({ certificate, key });
      return {};
    },
  },
  kick: {
    help: "cut a device's connection; abruptly: without a TLS goodbye",
    fields: { ...who, abruptly: "boolean?" },
    run(hub, { deviceId, ...options }) {
      hub.disconnectDevice(deviceId, options);
      return {};
    },
  },
  connected: {
    help: "whether a device is connected",
    fields: who,
    run: (hub, { deviceId, moduleId }) => ({ connected: hub.isConnected(deviceId, { moduleId }) }),
  },
  pending: {
    help: "how many messages wait for a device",
    fields: who,
    run: (hub, { deviceId, moduleId }) => ({ pending: hub.pendingMessages(deviceId, { moduleId }) }),
  },
  purge: {
    help: "give up the messages that wait for a device",
    fields: who,
    run(hub, { deviceId, moduleId }) {
      hub.purgeMessages(deviceId, { moduleId });
      return {};
    },
  },
};

/** Each command with its fields; those that may be left out end in `?`. */
export const ACTION_TABLE: readonly { readonly name: string; readonly fields: string; readonly help: string }[] =
  Object.entries(ACTIONS).map(([name, { fields, help }]) => ({
    name,
    fields: Object.entries(fields)
      .map(([field, kind]) => field + (kind.endsWith("?") ? "?" : ""))
      .join(", "),
    help,
  }));

/** The same for `--help`. */
export const COMMANDS_HELP = [
  ...ACTION_TABLE.map(
    ({ name, fields, help }) => `  ${name.padEnd(22)}${help}${fields && `\n${" ".repeat(24)}${fields}`}`,
  ),
  `  ${"quit".padEnd(22)}end`,
].join("\n");

/** The same for a person who types words. */
export const WORDS = `c2d <device> <text> | method <device> <name> [<json>] | desired <device> <json> | twin <device> | kick <device> | quit`;

const fits: Readonly<Record<Kind, (value: unknown) => boolean>> = {
  text: (value) => typeof value === "string",
  texts: (value) => [value].flat().every((each) => typeof each === "string"),
  number: (value) => typeof value === "number" && value >= 0,
  boolean: (value) => typeof value === "boolean",
  object: (value) => typeof value === "object" && value !== null && !Array.isArray(value),
  any: () => true,
};

/** Ids are told again in errors and events, keys never are. */
const isId = (name: string): boolean => /^(deviceId|moduleId|registrationId|messageId|name)$/.test(name);

function check(command: string, fields: Fields, values: Values): void {
  const unknown = Object.keys(values).find((name) => !Object.hasOwn(fields, name));
  if (unknown !== undefined) {
    throw badArgument(`${command} has a field that it does not take; it takes ${Object.keys(fields).join(", ")}`);
  }
  for (const [name, kind] of Object.entries(fields)) {
    const value = values[name];
    if (value === undefined) {
      if (!kind.endsWith("?")) throw badArgument(`${command} needs ${name}`);
      continue;
    }
    const wanted = kind.replace("?", "") as Kind;
    if (!fits[wanted](value)) throw badArgument(`${name} of ${command} must be of the kind: ${wanted}`);
    if (isId(name) && looksSecret(value as string))
      throw badArgument(`${name} looks like a key or a connection string`);
  }
}

/** A line of standard input, read. */
export interface Request {
  readonly command: string;
  /** Whatever the sender gave it, to know the answer by. */
  readonly id: unknown;
  readonly values: Values;
}

/** Reads a line: a JSON object, or words. Throws ERR_INVALID_ARGUMENT. */
export function readRequest(line: string): Request {
  const text = line.trim();
  const { command, id, ...values } = text.startsWith("{") ? jsonObjectOf("a command", text) : readWords(text);
  if (typeof command !== "string") throw badArgument("a command has the field command");
  return { command, id, values };
}

function readWords(text: string): Record<string, unknown> {
  const [command = "", deviceId = ""] = text.split(/\s+/, 2);
  // The rest of the line as it was typed, because bodies may hold runs of spaces.
  const rest = text.replace(/^\S+\s*\S*\s*/, "");
  const [name = ""] = rest.split(/\s+/, 1);
  const payload = rest.slice(name.length).trim();
  switch (command) {
    case "c2d":
      return { command, deviceId, body: rest };
    case "method":
      return { command, deviceId, name, ...(payload !== "" && { payload: jsonOf("method", payload) }) };
    case "desired":
      return { command, deviceId, patch: jsonOf("desired", rest) };
    case "twin":
    case "kick":
      return { command, deviceId };
    case "quit":
      return { command };
    default:
      throw badArgument(`the commands are: ${WORDS}; or a JSON object, which hubwire emulate --help explains`);
  }
}

/** Runs a command; resolves to what it tells. Rejects with HubwireError. */
export async function perform(hub: HubEmulator, { command, values }: Request): Promise<object> {
  const action = Object.hasOwn(ACTIONS, command) ? ACTIONS[command] : undefined;
  if (action === undefined)
    throw badArgument(`there is no such command; there are ${Object.keys(ACTIONS).join(", ")}, quit`);
  check(command, action.fields, values);
  return action.run(hub, values);
}

/** Whom a command is about, for its answer. */
export function subjectOf({ values }: Request): object {
  return Object.fromEntries(
    Object.entries(values).filter(([name]) => name === "deviceId" || name === "moduleId" || name === "registrationId"),
  );
}
