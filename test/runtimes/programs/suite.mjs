// What has to work on every runtime, with the package's modules as the caller loaded them. Prints one line of JSON a
// check: its name, how long it took, and why it failed.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

function assert(condition, what) {
  if (!condition) throw new Error(`not so: ${what}`);
}

/** What an emitter says next, so that nothing here waits for a time. */
const next = (emitter, event) => new Promise((resolve) => emitter.once(event, resolve));

/** Telemetry, a message from the cloud, a method and the twin. */
async function exercise(modules, options) {
  const { DeviceClient } = modules.hubwire;
  const hub = await modules["hubwire/emulator"].HubEmulator.start();
  const { connectionString } = hub.createDevice("d");
  const device = new DeviceClient(connectionString, { port: hub.port, tls: { ca: hub.caCertificate }, ...options });
  try {
    await device.connect();
    const telemetry = next(hub, "telemetry");
    await device.sendTelemetry({ t: 21 }, { properties: { room: "kitchen" } });
    const { payload, properties } = await telemetry;
    assert(new TextDecoder().decode(payload) === '{"t":21}', "the payload arrives");
    assert(properties.get("room") === "kitchen", "the property arrives");
    await device.onMethod("add", ({ payload: [a, b] }) => ({ status: 200, payload: a + b }));
    assert((await hub.invokeMethod("d", "add", [2, 3])).payload === 5, "the method answers");
    const sent = new Promise((resolve) => void device.messages(resolve));
    await hub.sendToDevice("d", "to you");
    assert(new TextDecoder().decode((await sent).payload) === "to you", "the message from the cloud arrives");
    await device.updateReportedProperties({ mode: "eco" });
    assert((await device.getTwin()).reported.mode === "eco", "the twin keeps what was reported");
  } finally {
    await device.close();
    await hub.close();
  }
}

const checks = {
  /** The names that each entry exports. */
  names({ modules, names }) {
    for (const [path, wanted] of Object.entries(names)) {
      const found = Object.keys(modules[path]).filter((name) => name !== "default" && name !== "module.exports");
      assert(String(found.sort()) === String(wanted), `${path} exports ${wanted}, got ${found}`);
    }
  },

  codec({ modules }) {
    const { encode, decode, PacketReader } = modules["hubwire/codec"];
    const packet = { type: "publish", topic: "a/ü", payload: new Uint8Array(300).fill(7), qos: 1, packetId: 9 };
    const bytes = encode(packet);
    assert(decode(bytes).topic === packet.topic && decode(bytes).payload.length === 300, "a packet comes back");
    for (let at = 0; at <= bytes.length; at++) {
      const read = [];
      const reader = new PacketReader((value) => read.push(value));
      reader.push(bytes.slice(0, at));
      reader.push(bytes.slice(at));
      assert(read.length === 1 && read[0].payload.every((byte) => byte === 7), `a packet split at ${at} comes back`);
    }
    let code;
    try {
      decode(new Uint8Array([0x10, 0x80, 0x80, 0x80, 0x80]));
    } catch (error) {
      ({ code } = error);
    }
    assert(code === "ERR_MALFORMED_PACKET", `a length of five bytes is refused, not ${code}`);
  },

  /** Over TLS to a hub in this process. */
  hub: ({ modules }) => exercise(modules, {}),

  /** The same over WebSocket. */
  websocket: ({ modules }) => exercise(modules, { protocol: "wss" }),

  /** A certificate that nobody vouches for is refused with the code that says so. */
  async certificate({ modules }) {
    const { DeviceClient } = modules.hubwire;
    const hub = await modules["hubwire/emulator"].HubEmulator.start();
    const { connectionString } = hub.createDevice("d");
    const device = new DeviceClient(connectionString, { port: hub.port, reconnect: false });
    try {
      const error = await device.connect().then(
        () => undefined,
        (reason) => reason,
      );
      assert(error?.code === "ERR_TLS_UNTRUSTED" && !error.retryable, `ERR_TLS_UNTRUSTED for good, not ${error?.code}`);
    } finally {
      await device.close();
      await hub.close();
    }
  },

  async mosquitto({ modules, mosquitto }) {
    const { MqttClient } = modules["hubwire/mqtt"];
    const client = new MqttClient({
      host: "127.0.0.1",
      port: mosquitto,
      protocol: "mqtt",
      clientId: `r-${process.pid}`,
    });
    try {
      await client.connect();
      const topic = `runtimes/${process.pid}`;
      const seen = [];
      let all;
      const done = new Promise((resolve) => (all = resolve));
      await client.subscribe(`${topic}/#`, { qos: 2 }, ({ payload, qos }) => {
        if (seen.push(`${payload.length}@${qos}`) === 3) all();
      });
      for (const qos of [0, 1, 2]) await client.publish(`${topic}/${qos}`, new Uint8Array(100_000 + qos), { qos });
      await done;
      assert(String(seen.sort()) === "100000@0,100001@1,100002@2", `all three arrive, got ${seen}`);
    } finally {
      await client.close();
    }
  },

  /** What was sent while nobody answered is in the file, and goes out when the next client opens it. */
  async store({ modules }) {
    const { MqttClient } = modules["hubwire/mqtt"];
    const { FileStore } = modules["hubwire/file-store"];
    const folder = mkdtempSync(join(tmpdir(), "hubwire-runtime-"));
    try {
      const store = new FileStore(join(folder, "store"));
      store.put(1, new Uint8Array([1, 2, 3]));
      store.put(2, new Uint8Array(10_000).fill(4));
      store.remove(1);
      store.close();
      const again = new FileStore(join(folder, "store"));
      const records = [...again.load()];
      assert(records.length === 1 && records[0][1].length === 10_000, "the file holds what was put and not removed");
      again.clear();
      const client = new MqttClient({ host: "127.0.0.1", port: 1, clientId: "c", cleanSession: false, store: again });
      const lost = client.publish("a", "b", { qos: 1 }).catch((error) => error.code);
      await client.close({ force: true });
      assert((await lost) === "ERR_CLOSED", "closing rejects what waits");
      again.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};

/** Runs the checks that are asked for, all if none is. */
export async function run(modules, settings) {
  for (const name of settings.checks ?? Object.keys(checks)) {
    const begin = performance.now();
    let failure;
    try {
      await checks[name]({ modules, ...settings });
    } catch (error) {
      failure = `${error.code ?? ""} ${error.stack} ${error.cause?.code ?? ""} ${error.cause?.message ?? ""}`;
    }
    console.log(JSON.stringify({ name, failure, milliseconds: Math.round(performance.now() - begin) }));
  }
}
