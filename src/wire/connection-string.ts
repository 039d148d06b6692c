/**
 * Connection strings: `HostName=…;DeviceId=…;SharedAccessKey=…`.
 *
 * Invariants: names are matched as written; an error says which part is wrong and what would be right, and never
 * echoes a value, nor a name that it does not know: in a mangled string that may be a piece of the key.
 */
import { defined } from "../check.js";
import { HubwireError } from "../errors.js";
import { isBase64, parseSasToken } from "./sas.js";

/** What a connection string says; the fields of `DeviceClient`'s options of the same names. */
export interface ConnectionString {
  /** The hub's name, e.g. `my-hub.azure-devices.net`. */
  hostName: string;
  /** The device's id, or that of the device that a module is of. */
  deviceId: string;
  /** Makes it a module's. */
  moduleId?: string;
  /** Dialled in place of `hostName`, which stays in the user name and the token. */
  gatewayHostName?: string;
  /** base64; secret. */
  sharedAccessKey?: string;
  /** The policy that `sharedAccessKey` belongs to; without it the key is the device's own. */
  sharedAccessKeyName?: string;
  /** A ready token, which cannot be renewed; secret. */
  sharedAccessSignature?: string;
  /** Authenticates with a client certificate, given beside the connection string. */
  x509?: true;
}

const NAMES = [
  "HostName",
  "DeviceId",
  "ModuleId",
  "GatewayHostName",
  "SharedAccessKey",
  "SharedAccessKeyName",
  "SharedAccessSignature",
  "x509",
];

const refuse = (message: string): HubwireError => new HubwireError("ERR_CONNECTION_STRING", message);

/** Throws ERR_CONNECTION_STRING for what cannot be a host's name, an id, or cannot go into a topic. */
export function checkIdentity(hosts: (string | undefined)[], ids: (string | undefined)[]): void {
  for (const host of hosts) {
    if (host !== undefined && !/^[\w.-]{1,253}$/.test(host)) {
      throw refuse("a host name is a bare name like my-hub.azure-devices.net, without scheme, port or path");
    }
  }
  for (const id of ids) {
    if (id !== undefined && !/^[^/+#\0-\x1f\x7f\ud800-\udfff]{1,128}$/.test(id)) {
      throw refuse("a device or module id has 1 to 128 characters, none of / + # and no control characters");
    }
  }
}

/**
 * Reads a connection string of a device or module. Throws ERR_CONNECTION_STRING for a part that is missing,
 * unknown, empty, there twice or ill-formed, and for a key beside a signature.
 */
export function parseConnectionString(text: string): ConnectionString {
  if (typeof text !== "string") {
    const hint =
      text === undefined
        ? "not a string but undefined: is the environment variable set that it comes from?"
        : "not a string";
    throw refuse(`the connection string is ${hint}`);
  }
  if (/^\s*["'`]/.test(text)) throw refuse("the connection string is in quotes, which do not belong to it");
  if (text.trim() === "") throw refuse("the connection string is empty");
  const parts = text.trim().replace(/;$/, "").split(";");
  const values = new Map<string, string>();
  parts.forEach((part, index) => {
    const equals = part.indexOf("=");
    const name = part.slice(0, Math.max(equals, 0));
    if (!NAMES.includes(name)) {
      const meant = NAMES.find((known) => known.toLowerCase() === name.trim().toLowerCase());
      const hint = meant
        ? `is ${meant} written otherwise; names are matched as written`
        : name === "Endpoint"
          ? "is of an Event Hubs string; copy the device's own connection string"
          : `has no known name; known are ${NAMES.join(", ")}`;
      throw refuse(`part ${index + 1} of the connection string ${hint}`);
    }
    if (values.has(name)) throw refuse(`${name} is there twice`);
    if (equals === part.length - 1) throw refuse(`${name} is empty`);
    values.set(name, part.slice(equals + 1));
  });
  const value = (name: string): string | undefined => values.get(name);
  const hostName = value("HostName");
  const deviceId = value("DeviceId");
  if (hostName === undefined) throw refuse("HostName is missing; it looks like HostName=my-hub.azure-devices.net");
  if (deviceId === undefined) {
    throw refuse(
      value("SharedAccessKeyName") === undefined
        ? "DeviceId is missing"
        : "DeviceId is missing: this is a service's connection string; copy the device's own",
    );
  }
  const moduleId = value("ModuleId");
  const gatewayHostName = value("GatewayHostName");
  const sharedAccessKey = value("SharedAccessKey");
  const sharedAccessKeyName = value("SharedAccessKeyName");
  const sharedAccessSignature = value("SharedAccessSignature");
  const x509 = value("x509");
  checkIdentity([hostName, gatewayHostName], [deviceId, moduleId]);
  if (sharedAccessKey !== undefined && !isBase64(sharedAccessKey)) {
    throw refuse("SharedAccessKey is not base64; was its end cut off?");
  }
  if (sharedAccessKeyName !== undefined && sharedAccessKey === undefined) {
    throw refuse("SharedAccessKeyName needs a SharedAccessKey");
  }
  if (x509 !== undefined && !/^(true|false)$/i.test(x509)) throw refuse("x509 is true or false");
  const certificate = x509?.toLowerCase() === "true";
  if (+(sharedAccessKey !== undefined) + +(sharedAccessSignature !== undefined) + +certificate > 1) {
    throw refuse("give only one of SharedAccessKey, SharedAccessSignature and x509=true");
  }
  if (sharedAccessSignature !== undefined) {
    try {
      parseSasToken(sharedAccessSignature);
    } catch (error) {
      throw refuse(`SharedAccessSignature: ${(error as Error).message}`);
    }
  }
  const parsed = defined({
    hostName,
    deviceId,
    moduleId,
    gatewayHostName,
    sharedAccessKey,
    sharedAccessKeyName,
    sharedAccessSignature,
    x509: certificate || undefined,
  }) as ConnectionString;
  // Printing the parsed string must not print the key; a copy made by spreading is the copier's to guard.
  return Object.defineProperty(parsed, Symbol.for("nodejs.util.inspect.custom"), {
    value: () => ({
      ...parsed,
      ...defined({
        sharedAccessKey: sharedAccessKey && "[secret]",
        sharedAccessSignature: sharedAccessSignature && "[secret]",
      }),
    }),
  });
}
