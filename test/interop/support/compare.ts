/**
 * Two recordings of the same operation, field by field.
 *
 * Invariants: every field of every packet is compared, also the order of the packets; what must differ from
 * run to run is replaced by what can be said about it (a request id is `{rid}`, a signature `valid`, a
 * token's expiry its lifetime), never left out; packet identifiers that the client chose are compared by
 * presence alone.
 */
import { createHmac } from "node:crypto";
import { expect } from "vitest";
import type { Packet } from "../../../src/codec/index.js";

/** Where the clients differ, and why that is right. */
export interface Difference {
  field: string;
  /** What Microsoft's SDK sends; a matcher where it changes from machine to machine. */
  sdk: unknown;
  /** What hubwire sends. */
  ours: unknown;
  reason: string;
}

/** In place of a value that one side does not send. */
export const ABSENT = "(absent)";

/** Request ids that the recording peer chose start so, and are compared as they are. */
export const HUB_REQUEST_ID = "hub-";

type Fields = Map<string, unknown>;

/** Fails on a difference that is not listed, and on a listed one that did not occur. */
export function expectSame(
  sdk: readonly Packet[],
  ours: readonly Packet[],
  key: string,
  listed: readonly Difference[],
): void {
  const [theirs, mine] = [fieldsOf(sdk, key), fieldsOf(ours, key)];
  const found: Record<string, { sdk: unknown; ours: unknown }> = {};
  for (const packet of new Set([...theirs.keys(), ...mine.keys()])) {
    const [their, my] = [theirs.get(packet), mine.get(packet)];
    if (their === undefined || my === undefined) {
      found[packet] = { sdk: summary(their), ours: summary(my) };
      continue;
    }
    for (const field of new Set([...their.keys(), ...my.keys()])) {
      const pair = { sdk: their.get(field) ?? ABSENT, ours: my.get(field) ?? ABSENT };
      if (pair.sdk !== pair.ours) found[`${packet}: ${field}`] = pair;
    }
  }
  const known: typeof found = {};
  for (const { field, sdk, ours, reason } of listed) {
    expect(reason, field).toMatch(/\w{3}/);
    expect(known, "listed twice").not.toHaveProperty([field]);
    known[field] = { sdk, ours };
  }
  expect(found).toEqual(known);
}

/** All that a recording says: by packet, named by its purpose, the fields with readable names. */
export function fieldsOf(packets: readonly Packet[], key: string): Map<string, Fields> {
  const all = new Map<string, Fields>();
  for (const packet of packets) {
    let label = labelOf(packet);
    while (all.has(label)) label += " again";
    const fields: Fields = new Map();
    describe(packet, (name, value) => fields.set(name, value), key);
    all.set(label, fields);
  }
  const order = [...all.keys()];
  all.set("recording", new Map<string, unknown>([["order of packets", order.join(", ")]]));
  return all;
}

/** A packet that one side alone sends is one difference. */
function summary(fields: Fields | undefined): string {
  return fields === undefined ? ABSENT : [...fields].map(([name, value]) => `${name} ${value}`).join("; ");
}

/** Names a packet by its purpose, so that the same packet at another place differs in the order alone. */
function labelOf(packet: Packet): string {
  const type = packet.type.toUpperCase();
  switch (packet.type) {
    case "publish":
      return `${type} ${splitTopic(packet.topic).path}`;
    case "subscribe":
      return `${type} ${packet.subscriptions[0]?.topicFilter}`;
    case "unsubscribe":
      return `${type} ${packet.topicFilters[0]}`;
    default:
      return type;
  }
}

type Put = (name: string, value: unknown) => void;

function describe(packet: Packet, put: Put, key: string): void {
  switch (packet.type) {
    case "connect": {
      put("client id", packet.clientId);
      put("clean session", packet.cleanSession);
      put("keep alive", packet.keepAlive);
      if (packet.username !== undefined) describeUsername(packet.username, put);
      if (packet.password !== undefined) describeToken(Buffer.from(packet.password).toString(), put, key);
      if (packet.will !== undefined) {
        const { topic, payload, qos, retain } = packet.will;
        put("will", `${topic} qos ${qos} retain ${retain}: ${text(payload)}`);
      }
      return;
    }
    case "publish": {
      const { pairs, mark } = splitTopic(packet.topic);
      put("qos", packet.qos);
      put("retain", packet.retain);
      put("dup", packet.dup);
      put("packet id", packet.packetId === undefined ? "none" : "some");
      put("payload", text(packet.payload));
      put("query mark", mark);
      describePairs("bag", pairs, put);
      return;
    }
    case "subscribe":
      return put("filters", packet.subscriptions.map((s) => `${s.topicFilter} qos ${s.qos}`).join(", "));
    case "unsubscribe":
      return put("filters", packet.topicFilters.join(", "));
    case "puback":
      // The recording peer chose this one.
      return put("packet id", packet.packetId);
    default:
      return;
  }
}

/** `{host}/{client id}/?{query}`; the provisioning service's form has no question mark. */
function describeUsername(username: string, put: Put): void {
  const cut = username.lastIndexOf("/") + 1;
  put("user name path", username.slice(0, cut));
  put("user name query mark", username[cut] === "?");
  describePairs("user name", username.slice(username[cut] === "?" ? cut + 1 : cut).split("&"), put);
}

function describeToken(token: string, put: Put, key: string): void {
  const [scheme, rest] = token.split(" ");
  const fields = new Map((rest ?? "").split("&").map((pair) => pair.split(/=(.*)/s, 2) as [string, string]));
  put("password scheme", scheme);
  put("password fields in order", [...fields.keys()].join(" "));
  const { sr, sig, se, skn } = Object.fromEntries(fields);
  put("password sr", sr);
  if (skn !== undefined) put("password skn", skn);
  // Whole minutes: the two clients' seconds are not the same seconds.
  put("password lifetime", `${Math.round((Number(se) - Date.now() / 1000) / 60)} min`);
  const signature = createHmac("sha256", Buffer.from(key, "base64")).update(`${sr}\n${se}`).digest("base64");
  put("password sig", decodeURIComponent(sig ?? "") === signature ? "valid" : `invalid: ${sig}`);
}

/** The path, and the property bag or query behind it. */
function splitTopic(topic: string): { path: string; mark: boolean; pairs: string[] } {
  const match = /^(.*\/messages\/events\/)(.*)$/s.exec(topic) ?? /^(.*\/)(\?.*)$/s.exec(topic);
  const path = match?.[1] ?? topic;
  const rest = match?.[2] ?? "";
  const mark = rest.startsWith("?");
  const pairs = (mark ? rest.slice(1) : rest).split("&").filter((pair) => pair !== "");
  return { path, mark, pairs: pairs.map(maskRequestId) };
}

function maskRequestId(pair: string): string {
  return /^\$rid=./s.test(pair) && !pair.startsWith(`$rid=${HUB_REQUEST_ID}`) ? "$rid={rid}" : pair;
}

/** Each pair raw, under its decoded name; and the names' order. */
function describePairs(what: string, pairs: readonly string[], put: Put): void {
  const names = pairs.map((pair) => decodeURIComponent(pair.split("=", 1)[0] as string));
  put(`${what} in order`, names.join(" "));
  pairs.forEach((pair, index) => put(`${what} ${names[index]}`, pair));
}

function text(bytes: Uint8Array): string {
  const decoded = Buffer.from(bytes).toString();
  return Buffer.from(decoded).equals(bytes) ? JSON.stringify(decoded) : Buffer.from(bytes).toString("hex");
}
