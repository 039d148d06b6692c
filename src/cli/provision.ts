/** `hubwire provision`: registers a device with the Device Provisioning Service. */
import { provisionDevice } from "../hub/index.js";
import { badArgument, command, type Values } from "./command.js";
import { writeFileSafely } from "./files.js";
import { certificateOf, certificateOptions, networkOf, networkOptions, wayOf, wayOptions } from "./identity.js";
import type { Io } from "./io.js";
import { Output, outputOptions } from "./output.js";
import { fileOf, integer, jsonOf } from "./values.js";

/** Bytes. */
const LONGEST_KEY = 4 * 1024;

const options = {
  "id-scope": { value: "text", help: "of the provisioning service; or PROVISIONING_IDSCOPE" },
  "registration-id": { value: "text", help: "of the device; or PROVISIONING_REGISTRATION_ID" },
  "key-file": {
    value: "file",
    help: "file with the enrolment's symmetric key, base64; - is standard input; or PROVISIONING_SYMMETRIC_KEY holds the key",
  },
  "group-key-file": { value: "file", help: "the same with an enrolment group's key, of which the device's is derived" },
  ...certificateOptions,
  host: { value: "name", help: "the service's host; or PROVISIONING_HOST (global.azure-devices-provisioning.net)" },
  ...networkOptions,
  ...wayOptions,
  wait: { value: "seconds", help: "how long the registration may take in all (120)" },
  payload: { value: "json", help: "for the service's custom allocation" },
  out: {
    short: "o",
    value: "file",
    help: "write the connection string there, readable by you alone, for --connection-file; - is standard output",
  },
  ...outputOptions,
} as const;

/** The key of an option's file, of standard input, or of the environment. */
async function keyOf(
  option: "key-file" | "group-key-file",
  file: string | undefined,
  io: Io,
): Promise<string | undefined> {
  if (file === undefined) return undefined;
  const text = file === "-" ? await io.input.line(LONGEST_KEY) : fileOf(option, file, LONGEST_KEY);
  if (text === undefined) throw badArgument(`--${option}: standard input has no key`);
  return text.toString("utf8").trim();
}

/** How the device proves who it is: by one of the options, else by the environment. */
async function proofOf(values: Values<typeof options>, io: Io) {
  const symmetricKey = await keyOf("key-file", values["key-file"], io);
  const groupKey = await keyOf("group-key-file", values["group-key-file"], io);
  const x509 = certificateOf(values);
  const given = [symmetricKey, groupKey, x509].filter((way) => way !== undefined).length;
  const fromEnvironment = io.env["PROVISIONING_SYMMETRIC_KEY"];
  if (given > 1 || (given === 0 && !fromEnvironment)) {
    throw badArgument("give one of --key-file, --group-key-file and --cert, or set PROVISIONING_SYMMETRIC_KEY");
  }
  if (given === 0) return { symmetricKey: fromEnvironment };
  return x509 ? { x509 } : { symmetricKey, groupKey };
}

export const provision = command({
  name: "provision",
  usage: "[options]",
  about: `Registers a device with the Device Provisioning Service, which says what hub it belongs to, and prints the hub and
the device id. The connection string, which holds the key, goes to --out alone.`,
  options,

  async run({ values, positionals }, io) {
    if (positionals.length > 0) throw badArgument("hubwire provision takes no arguments, only options");
    const idScope = values["id-scope"] ?? io.env["PROVISIONING_IDSCOPE"];
    const registrationId = values["registration-id"] ?? io.env["PROVISIONING_REGISTRATION_ID"];
    const host = values.host ?? io.env["PROVISIONING_HOST"];
    if (!idScope) throw badArgument("--id-scope is missing; PROVISIONING_IDSCOPE is not set either");
    if (!registrationId) {
      throw badArgument("--registration-id is missing; PROVISIONING_REGISTRATION_ID is not set either");
    }
    const wait = integer("wait", values.wait, 1, 86_400) ?? 120;
    const payload = values.payload === undefined ? undefined : jsonOf("--payload", values.payload);
    const result = await provisionDevice({
      ...networkOf(values, io),
      ...wayOf(values, io),
      ...(await proofOf(values, io)),
      ...{ idScope, registrationId, payload, timeout: wait * 1000, signal: io.stop },
      ...(host ? { host } : {}),
    });
    if (values.out === "-") {
      io.stdout.write(`${result.connectionString}\n`);
      return 0;
    }
    if (values.out !== undefined) writeFileSafely("out", values.out, `${result.connectionString}\n`, 0o600);
    const { assignedHub, deviceId } = result;
    await new Output(io, values.json).print({
      type: "assigned",
      deviceId,
      assignedHub,
      registrationId,
      ...(result.payload !== undefined && { payload: result.payload }),
    });
    return 0;
  },
});
