/**
 * Careless callers (policy 2): each parameter of each function that `hubwire/mqtt`, `hubwire/codec` and
 * `hubwire/file-store` export is given what it does not take. Only typed errors may leave.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import * as mqtt from "../../src/client/index.js";
import * as fileStore from "../../src/client/file-store.js";
import * as codec from "../../src/codec/index.js";
import { boom, outcomeOf, VALUES as COMMON } from "../support/values.js";

/** Made anew for each call. */
const VALUES: Record<string, () => unknown> = {
  ...COMMON,
  "what only claims to be bytes": () => Object.create(Uint8Array.prototype),
  "an unknown name": () => ({ qoS: 1 }),
  "a proxy that is revoked": () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    return proxy;
  },
};

const OPTIONS = {
  host: "h.example",
  createConnection: () => new Promise(() => {}),
  clientId: "c",
  reconnect: false,
} as unknown as mqtt.MqttClientOptions;
const folder = mkdtempSync(join(tmpdir(), "arguments-"));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;

function withStore(use: (store: fileStore.FileStore) => unknown): unknown {
  const store = new fileStore.FileStore(join(folder, String(files++)));
  try {
    return use(store);
  } finally {
    store.close();
  }
}

type Call = (value: never, client: mqtt.MqttClient) => unknown;

const CALLS: Record<string, Call> = {
  "MqttClient(options)": (value) => new mqtt.MqttClient(value),
  "MqttClient(url, options)": (value) => new mqtt.MqttClient("mqtt://h.example", value),
  "connect(options)": (value, client) => client.connect(value),
  "connect({ signal })": (signal, client) => client.connect({ signal }),
  "connect({ timeout })": (timeout, client) => client.connect({ timeout }),
  "reconnect(options)": (value, client) => client.reconnect(value),
  "reconnect({ drainTimeout })": (drainTimeout, client) => client.reconnect({ drainTimeout }),
  "publish(topic)": (value, client) => client.publish(value, "x"),
  "publish(, payload)": (value, client) => client.publish("a", value),
  "publish(, payload) with QoS 1": (value, client) => client.publish("a", value, { qos: 1 }),
  "publish(, , options)": (value, client) => client.publish("a", "x", value),
  "publish(, , { qos })": (qos, client) => client.publish("a", "x", { qos }),
  "publish(, , { signal })": (signal, client) => client.publish("a", "x", { signal }),
  "subscribe(topicFilter)": (value, client) => client.subscribe(value),
  "subscribe(, options)": (value, client) => client.subscribe("a", value),
  "subscribe(, { signal })": (signal, client) => client.subscribe("a", { signal }),
  "subscribe(, , handler)": (value, client) => client.subscribe("a", {}, value),
  "unsubscribe(topicFilter)": (value, client) => client.unsubscribe(value),
  "unsubscribe(, options)": (value, client) => client.unsubscribe("a", value),
  "close(options)": (value, client) => client.close(value),
  "close({ force })": (force, client) => client.close({ force }),
  "encode(packet)": (value) => codec.encode(value),
  "decode(bytes)": (value) => codec.decode(value),
  "Decoder(sink)": (value) => new codec.Decoder(value),
  "Decoder(, options)": (value) => new codec.Decoder({} as codec.PacketSink, value),
  "PacketReader(onPacket)": (value) => new codec.PacketReader(value),
  "PacketReader(, options)": (value) => new codec.PacketReader(() => {}, value),
  "PacketReader.push(chunk)": (value) => new codec.PacketReader(() => {}).push(value),
  "PacketWriter.packet(packet)": (value) => new codec.PacketWriter().packet(value),
  "PacketWriter.puback(packetId)": (value) => new codec.PacketWriter().puback(value),
  "PacketWriter.publish(topic)": (value) => new codec.PacketWriter().publish(value, "x", 0, false, false, 0),
  "PacketWriter.publish(, payload)": (value) => new codec.PacketWriter().publish("a", value, 0, false, false, 0),
  "PacketWriter.publish(, , qos)": (value) => new codec.PacketWriter().publish("a", "x", value, false, false, 1),
  "PacketWriter.publish(, , , retain)": (value) => new codec.PacketWriter().publish("a", "x", 0, value, false, 0),
  "PacketWriter.publish(, , , , dup)": (value) => new codec.PacketWriter().publish("a", "x", 1, false, value, 1),
  "PacketWriter.publish(, , , , , packetId)": (value) =>
    new codec.PacketWriter().publish("a", "x", 1, false, false, value),
  "checkPacket(packet)": (value) => codec.checkPacket(value),
  "checkPublish(topic)": (value) => codec.checkPublish(value, "x", 0, false),
  "checkPublish(, payload)": (value) => codec.checkPublish("a", value, 0, false),
  "checkPublish(, , qos)": (value) => codec.checkPublish("a", "x", value, false),
  "checkPublish(, , , retain)": (value) => codec.checkPublish("a", "x", 0, value),
  "checkTopicName(topic)": (value) => codec.checkTopicName(value),
  "checkTopicFilter(filter)": (value) => codec.checkTopicFilter(value),
  "matchTopic(topicFilter)": (value) => codec.matchTopic(value, "a"),
  "matchTopic(, topic)": (value) => codec.matchTopic("a", value),
  "FileStore(path)": (value) => (typeof value === "string" ? undefined : new fileStore.FileStore(value)),
  "FileStore(, options)": (value) => new fileStore.FileStore(join(folder, String(files++)), value).close(),
  "FileStore.put(key)": (value) => withStore((store) => store.put(value, new Uint8Array(1))),
  "FileStore.put(, record)": (value) => withStore((store) => store.put(1, value)),
  "FileStore.remove(key)": (value) => withStore((store) => store.remove(value)),
};
const CLIENT_OPTIONS = [
  ...["host", "port", "protocol", "path", "proxy", "clientId", "username", "password", "will", "cleanSession"],
  ...["keepAlive", "tls", "credentials", "reconnect", "offlineQueue", "maxPacketSize", "maxInflight", "random"],
  ...["connectTimeout", "operationTimeout", "handlerTimeout", "poisonDetection", "store", "clock", "createConnection"],
];
for (const name of CLIENT_OPTIONS) {
  CALLS[`MqttClient({ ${name} })`] = (value) => new mqtt.MqttClient({ ...OPTIONS, [name]: value });
}
for (const name of ["topic", "payload", "qos", "retain"]) {
  CALLS[`MqttClient({ will: { ${name} } })`] = (value) =>
    new mqtt.MqttClient({ ...OPTIONS, will: { topic: "a", payload: "x", [name]: value } });
}

const WRONG = ["ERR_INVALID_ARGUMENT", "ERR_INVALID_PACKET", "ERR_MALFORMED_PACKET"];
/** What ends calls that had nothing to refuse. */
const ENDED = ["ERR_CLOSED", "ERR_CONNECT_TIMEOUT"];

function outcome(call: Call, value: unknown): Promise<unknown> {
  const client = new mqtt.MqttClient(OPTIONS);
  return outcomeOf(client, () => call(value as never, client));
}

test("every export is looked at here", () => {
  const names = [mqtt, codec, fileStore].flatMap((entry) => Object.keys(entry));
  const others = ["HubwireError", "MAX_PACKET_SIZE", "SessionStore", "Subscription", "systemClock"];
  for (const name of names.filter((one) => !others.includes(one))) {
    expect(
      Object.keys(CALLS).some((call) => call.startsWith(name)),
      name,
    ).toBe(true);
  }
});

describe.each(Object.keys(CALLS))("%s", (name) => {
  test.each(Object.keys(VALUES))("given %s", async (kind) => {
    const error = await outcome(CALLS[name] as Call, VALUES[kind]?.());
    if (error === undefined) return;
    expect(error).toMatchObject({ name: "HubwireError" });
    expect([...WRONG, ...ENDED]).toContain((error as mqtt.HubwireError).code);
  });
});

test.each([
  ["MqttClient(options)", CLIENT_OPTIONS],
  ["connect(options)", ["signal", "timeout"]],
  ["publish(, , options)", ["qos", "retain", "signal"]],
  ["subscribe(, options)", ["qos", "signal"]],
  ["unsubscribe(, options)", ["signal"]],
  ["reconnect(options)", ["signal", "timeout", "drainTimeout"]],
  ["close(options)", ["force"]],
  ["FileStore(, options)", ["fsync"]],
  ["MqttClient(url, options)", CLIENT_OPTIONS],
])("an option of %s that cannot be read, and one that there is not, are named", async (name, options) => {
  for (const option of options) {
    const unreadable = Object.defineProperty({}, option, { get: boom, enumerable: true });
    const unknown = { [`${option}X`]: 1 };
    for (const value of [unreadable, unknown]) {
      expect(await outcome(CALLS[name] as Call, value)).toMatchObject({
        name: "HubwireError",
        code: "ERR_INVALID_ARGUMENT",
        message: expect.stringContaining(option),
      });
    }
  }
});
