/**
 * The options of every command that is a device: who it is, and how it reaches its hub.
 *
 * Invariants: a secret comes from a file, standard input or the environment without a word; one among the arguments is
 * used, with a warning, because every user of the machine can see it there. None is ever printed.
 */
import { DeviceClient, parseConnectionString } from "../hub/index.js";
import { HubwireError } from "../errors.js";
import { badArgument, type Values } from "./command.js";
import { type Io, remark } from "./io.js";
import { fileOf, integer } from "./values.js";

/** The environment variable that holds the connection string where none is given. */
export const CONNECTION_STRING_VARIABLE = "IOTHUB_DEVICE_CONNECTION_STRING";

/** Bytes. */
const LONGEST_CONNECTION_STRING = 16 * 1024;

/** Where the connection string comes from. */
export const secretOptions = {
  "connection-file": {
    value: "file",
    help: "read the device's connection string from the first line of this file; - is standard input",
  },
  "connection-string": {
    short: "c",
    value: "text",
    anything: true,
    help: `the connection string itself, which the list of processes then shows; also the first argument (- is standard input), or the environment variable ${CONNECTION_STRING_VARIABLE}`,
  },
} as const;

/** How to reach a server. */
export const networkOptions = {
  port: { short: "p", value: "number", help: "port of the hub (8883)" },
  ca: { value: "file", help: "PEM file with the certificate authority of a private hub" },
  timeout: { short: "t", value: "seconds", help: "how long connecting may take (10)" },
} as const;

/** The way through a firewall. */
export const wayOptions = {
  websocket: { short: "w", help: "MQTT over WebSocket, on port 443 unless --port says otherwise" },
  proxy: {
    value: "url",
    help: "HTTP proxy to go through, http://host:port (https: TLS to it; user:password@ as it wants); environment: as HTTPS_PROXY and NO_PROXY say",
  },
} as const;

/** The certificate of an X.509 identity. */
export const certificateOptions = {
  cert: { value: "file", help: "PEM file with the device's certificate, for a connection string with x509=true" },
  key: { value: "file", help: "PEM file with the certificate's private key, if it is not in the same file" },
} as const;

export const deviceOptions = { ...secretOptions, ...networkOptions, ...wayOptions, ...certificateOptions } as const;

type SecretValues = Values<typeof secretOptions>;

/**
 * The connection string of a command and the positionals that are left. A first argument is taken as the connection
 * string where nothing else gives one, or where it looks like one.
 */
export async function connectionString(
  values: SecretValues,
  positionals: readonly string[],
  io: Io,
): Promise<{ text: string; rest: readonly string[] }> {
  const { "connection-string": option, "connection-file": file } = values;
  const [first, ...others] = positionals;
  const given = option !== undefined || file !== undefined;
  if (option !== undefined && file !== undefined) {
    throw badArgument("give --connection-string or --connection-file, not both");
  }
  if (file !== undefined && file !== "-")
    return { text: firstLine(fileOf("connection-file", file)), rest: positionals };
  if (file === "-" || (!given && first === "-")) {
    const line = await io.input.line(LONGEST_CONNECTION_STRING);
    if (line === undefined) throw new HubwireError("ERR_CONNECTION_STRING", "standard input has no connection string");
    return { text: line.toString("utf8").trim(), rest: given ? positionals : others };
  }
  const variable = io.env[CONNECTION_STRING_VARIABLE];
  if (option !== undefined || (first !== undefined && (first.includes("HostName=") || !variable))) {
    remark(
      io,
      "warning: every user of this machine can see a connection string among the arguments (ps); --connection-file, " +
        `standard input (-) and ${CONNECTION_STRING_VARIABLE} keep it to yourself`,
    );
    return option === undefined ? { text: first as string, rest: others } : { text: option, rest: positionals };
  }
  if (variable) return { text: variable, rest: positionals };
  throw new HubwireError(
    "ERR_CONNECTION_STRING",
    "no connection string: give --connection-file, - for standard input, or set " + CONNECTION_STRING_VARIABLE,
  );
}

const firstLine = (bytes: Buffer): string => bytes.toString("utf8").trimStart().split(/\r?\n/, 1)[0]?.trim() ?? "";

/** The options of the client behind `wayOptions`. */
export function wayOf({ websocket, proxy }: Values<typeof wayOptions>, io: Io) {
  if (proxy !== undefined && /^[a-z]+:\/\/[^/]*@/i.test(proxy)) {
    remark(
      io,
      "warning: every user of this machine can see the proxy's password among the arguments (ps); --proxy environment " +
        "takes it from HTTPS_PROXY",
    );
  }
  return {
    ...(websocket && { protocol: "wss" as const }),
    ...(proxy !== undefined && { proxy }),
  };
}

/** The TLS part of the options behind `networkOptions`, and the rest. One attempt only: a person is waiting. */
export function networkOf(values: Values<typeof networkOptions>, io: Io) {
  const port = integer("port", values.port, 1, 65_535);
  const timeout = integer("timeout", values.timeout, 1, 3_600);
  return {
    ...(port !== undefined && { port }),
    ...(values.ca !== undefined && { tls: { ca: certificateIn("ca", values.ca) } }),
    connectTimeout: (timeout ?? 10) * 1000,
    clock: io.clock,
  };
}

/** The certificate behind `certificateOptions`, undefined where there is none. */
export function certificateOf(values: Values<typeof certificateOptions>): { cert: string; key: string } | undefined {
  const { cert: file, key: keyFile } = values;
  if (file === undefined) {
    if (keyFile !== undefined) throw badArgument("--key needs --cert, the certificate that it belongs to");
    return undefined;
  }
  const cert = certificateIn("cert", file);
  const key = keyFile === undefined ? cert : fileOf("key", keyFile).toString("utf8");
  if (!/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(key)) {
    throw badArgument(
      `${keyFile === undefined ? "--cert needs --key: the file" : "--key: the file"} holds no private key (PEM)`,
    );
  }
  return { cert, key };
}

function certificateIn(option: string, file: string): string {
  const text = fileOf(option, file).toString("utf8");
  if (!text.includes("-----BEGIN CERTIFICATE-----"))
    throw badArgument(`--${option}: the file holds no certificate (PEM)`);
  return text;
}

/** Makes the client of a command that is a device; what the arguments left over is its own. */
export async function deviceOf(
  values: Values<typeof deviceOptions>,
  positionals: readonly string[],
  io: Io,
  reconnect: boolean,
): Promise<{ device: DeviceClient; rest: readonly string[]; connect: () => Promise<void> }> {
  const { text, rest } = await connectionString(values, positionals, io);
  const x509 = certificateOf(values);
  const identity = parseConnectionString(text);
  if (x509 === undefined && identity.x509)
    throw badArgument("a connection string with x509=true needs --cert and --key");
  if (x509 !== undefined && !identity.x509) {
    throw badArgument("--cert is for a connection string that ends in x509=true and has no key");
  }
  const network = networkOf(values, io);
  const device = new DeviceClient(identity, { reconnect, ...network, ...wayOf(values, io), ...(x509 && { x509 }) });
  // With `reconnect` there may be several attempts, and the time is that of all.
  const connect = (): Promise<void> => device.connect({ signal: io.stop, timeout: network.connectTimeout });
  return { device, rest, connect };
}
