/**
 * The doctor's steps: what is tried, and how what was found is told.
 *
 * Invariant: a step tries one layer alone, and what it takes of the network it gives back.
 */
import { X509Certificate, createPrivateKey } from "node:crypto";
import { type DeviceClientOptions, DeviceClient, parseConnectionString, parseSasToken } from "../hub/index.js";
import { HubwireError } from "../errors.js";
import { probeDate, probeTcp, probeTls, resolveName, type Target } from "../transport/probe.js";
import type { Route } from "./doctor-advice.js";
import type { Checkup } from "./doctor-report.js";
import type { Io } from "./io.js";

const DAY = 86_400_000;
/** ms by which clocks may differ before it is worth a word. */
const NOTABLE_SKEW = 60_000;

/** What the name of the hub stands for. */
export interface Names {
  /** The first address of each family. */
  readonly addresses: readonly (readonly [family: 4 | 6, address: string])[];
  /** Why there is none at all. */
  readonly fault?: HubwireError | undefined;
}

/** What the steps are about. */
export interface Patient {
  readonly text: string;
  readonly host: string;
  readonly client: DeviceClientOptions;
  readonly tls: Target["tls"];
  readonly proxy: Target["proxy"];
  readonly telemetry: boolean;
}

/** Reads the connection string and looks at what it proves the identity with. */
export function examineIdentity(
  checkup: Checkup,
  text: string,
  x509: { cert: string; key: string } | undefined,
  io: Io,
): string {
  const { hostName, gatewayHostName, deviceId, moduleId, sharedAccessSignature } = parseConnectionString(text);
  const who = moduleId === undefined ? `device ${deviceId}` : `module ${moduleId} of device ${deviceId}`;
  const where = gatewayHostName === undefined ? hostName : `${hostName} by the gateway ${gatewayHostName}`;
  const proof = x509 ? "a certificate" : sharedAccessSignature ? "a token" : "a key";
  const fault = x509
    ? certificateFault(x509, io)
    : sharedAccessSignature
      ? tokenFault(sharedAccessSignature, io)
      : undefined;
  checkup.note(
    "connection string",
    fault ? "warning" : "ok",
    `${who} of ${where}, by ${proof}${fault ? `: ${fault}` : ""}`,
  );
  return gatewayHostName ?? hostName;
}

function certificateFault({ cert, key }: { cert: string; key: string }, io: Io): string | undefined {
  try {
    const certificate = new X509Certificate(cert);
    const now = io.clock.wallTime();
    if (now > Date.parse(certificate.validTo)) return `it expired on ${certificate.validTo}`;
    if (now < Date.parse(certificate.validFrom)) return `it is not valid before ${certificate.validFrom}`;
    return certificate.checkPrivateKey(createPrivateKey(key)) ? undefined : "the private key is not the certificate's";
  } catch {
    return "the certificate or its key cannot be read";
  }
}

function tokenFault(token: string, io: Io): string | undefined {
  const left = parseSasToken(token).expiry * 1000 - io.clock.wallTime();
  return left > 0 ? undefined : `it expired ${Math.ceil(-left / 1000)} s ago by this machine's clock`;
}

/** An address of each family, where there is one; one is enough. */
export async function examineNames(checkup: Checkup, { host, proxy }: Patient): Promise<Names> {
  const addresses: [family: 4 | 6, address: string][] = [];
  if (proxy !== undefined) {
    checkup.note("dns", "skipped", "the proxy looks the name up");
    return { addresses };
  }
  let fault: HubwireError | undefined;
  for (const family of [4, 6] as const) {
    const found = await checkup.step(
      `dns v${family}`,
      (signal) => resolveName(host, family, signal),
      (all) => all.join(", "),
      // Many a host has one family alone.
      addresses.length > 0 ? "skipped" : "warning",
    );
    fault ??= found.error;
    if (found.value?.[0] !== undefined) addresses.push([family, found.value[0]]);
  }
  return { addresses, fault: addresses.length === 0 ? fault : undefined };
}

/** TCP by each family of addresses, or through the proxy: a fault where none is open, a partial one where one is not. */
async function examineTcp(
  checkup: Checkup,
  target: Target,
  name: string,
  names: Names,
): Promise<{ fault?: HubwireError | undefined; partial?: HubwireError | undefined }> {
  const { port, proxy } = target;
  if (proxy !== undefined || names.addresses.length === 0) {
    const through = proxy === undefined ? "" : " through the proxy";
    const open = (): string => `port ${port} is open${through}`;
    return { fault: (await checkup.step(name, (signal) => probeTcp(target, signal), open)).error };
  }
  const faults: HubwireError[] = [];
  for (const [index, [family, address]] of names.addresses.entries()) {
    const last = index === names.addresses.length - 1 && faults.length === index;
    const { error } = await checkup.step(
      `${name} v${family}`,
      (signal) => probeTcp({ host: address, port }, signal),
      () => `${address} port ${port} is open`,
      last ? "failed" : "warning",
    );
    if (error) faults.push(error);
  }
  return faults.length < names.addresses.length ? { partial: faults[0] } : { fault: faults[0] };
}

/** TCP, TLS, CONNACK and telemetry on one port. */
export async function examineRoute(
  checkup: Checkup,
  patient: Patient,
  names: Names,
  port: number,
  websocket: boolean,
): Promise<Route> {
  const { host, tls, proxy } = patient;
  const target = { host, port, tls, proxy };
  const name = (step: string): string => (websocket ? `${step} ${port}` : step);
  const tcp = await examineTcp(checkup, target, name("tcp"), names);
  const route: Route = { port, websocket, partial: tcp.partial };
  if (tcp.fault) return { ...route, fault: { step: "tcp", error: tcp.fault } };
  const handshake = await checkup.step(
    name("tls"),
    (signal) => probeTls(target, signal),
    ({ version, chain, validTo }) =>
      `${version}; ${chain.join(", issued by ")}; ${Math.floor((validTo.getTime() - checkup.now) / DAY)} days left`,
    "failed",
    ({ objection }) => objection,
  );
  const issuer = handshake.value?.chain.at(-1);
  if (handshake.error) return { ...route, issuer, fault: { step: "tls", error: handshake.error } };
  const how = websocket ? { protocol: "wss" as const } : {};
  const device = new DeviceClient(patient.text, { ...patient.client, ...how, port });
  // Whatever it is, the call that it ends says it.
  device.on("error", () => {});
  try {
    const accepted = await checkup.step(
      name("connack"),
      (signal) => device.connect({ signal }),
      () => "the hub accepted the device",
    );
    if (accepted.error) return { ...route, issuer, fault: { step: "connack", error: accepted.error } };
    if (!patient.telemetry) return { ...route, issuer };
    const sent = await checkup.step(
      name("telemetry"),
      (signal) => device.sendTelemetry({ doctor: true }, { properties: { source: "hubwire doctor" }, signal }),
      () => "a message was acknowledged",
    );
    return { ...route, issuer, ...(sent.error && { fault: { step: "telemetry", error: sent.error } }) };
  } finally {
    await device.close();
  }
}

/** How far this machine's clock is ahead of the server's, ms. */
export async function examineClock(
  checkup: Checkup,
  patient: Patient,
  port: number,
  io: Io,
): Promise<number | undefined> {
  const { host, tls, proxy } = patient;
  const asked = await checkup.step(
    "clock",
    async (signal) => {
      const before = io.clock.wallTime();
      const date = await probeDate({ host, port, tls, proxy }, signal);
      if (date === undefined) throw new HubwireError("ERR_WEBSOCKET", `port ${port} does not tell the time`);
      // Whole seconds are told: half of one is right on average.
      return (before + io.clock.wallTime()) / 2 - (date.getTime() + 500);
    },
    (skew) => {
      const seconds = Math.round(Math.abs(skew) / 1000);
      return seconds <= 1 ? "as the server's" : `${seconds} s ${skew > 0 ? "ahead of" : "behind"} the server's`;
    },
    "warning",
    (skew) =>
      Math.abs(skew) > NOTABLE_SKEW
        ? new HubwireError(
            "ERR_SAS_EXPIRED",
            `this machine's clock is ${Math.round(Math.abs(skew) / 1000)} s ${skew > 0 ? "ahead" : "behind"}`,
          )
        : undefined,
  );
  return asked.value;
}
