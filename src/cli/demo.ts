/**
 * `hubwire demo`: the main job, end to end, over a real TLS connection to a hub in this process.
 *
 * Invariant: every step waits for its effect at the other end and compares it; a demo that did not work exits 1.
 */
import { HubEmulator } from "../emulator/index.js";
import { HubwireError } from "../errors.js";
import { DeviceClient } from "../hub/index.js";
import { parse, type Command } from "./arguments.js";
import { Transcript } from "./transcript.js";

const DEADLINE = 10_000;

/** Rejects when a step's effect does not show at the other end in time, so that the demo never hangs. */
async function within<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new HubwireError("ERR_TIMEOUT", `${what} did not happen`)), DEADLINE);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Compares what arrived with what was sent. */
function same(what: string, got: unknown, wanted: unknown): void {
  if (JSON.stringify(got) !== JSON.stringify(wanted)) {
    throw new HubwireError("ERR_PROTOCOL_VIOLATION", `${what}: got ${JSON.stringify(got)}, not ${JSON.stringify(wanted)}`);
  }
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

async function telemetry(device: DeviceClient, hub: HubEmulator, log: Transcript): Promise<void> {
  log.section("Telemetry");
  const arrival = within(
    "the telemetry's arrival",
    new Promise<{ payload: Uint8Array; properties: Map<string, string | null> }>((resolve) => {
      hub.once("telemetry", resolve);
    }),
  );
  const body = { temperature: 21.5 };
  await log.timed("sent, acknowledged", () =>
    device.sendTelemetry(body, { properties: { alarm: "no", room: "Küche 1" }, messageId: "demo-1" }),
  );
  const message = await arrival;
  log.hub(`${text(message.payload)} with ${[...message.properties].map((pair) => pair.join("=")).join(", ")}`);
  same("telemetry", JSON.parse(text(message.payload)), body);
  same("properties", [...message.properties], [["alarm", "no"], ["room", "Küche 1"]]);
}

async function cloudToDevice(device: DeviceClient, hub: HubEmulator, log: Transcript): Promise<void> {
  log.section("Cloud to device");
  let arrived!: (message: { payload: Uint8Array; properties: Map<string, string | null> }) => void;
  const arrival = within("the message's arrival", new Promise<Parameters<typeof arrived>[0]>((resolve) => (arrived = resolve)));
  await device.messages((message) => arrived(message));
  await hub.sendToDevice("thermostat-1", "set point 19", { properties: { unit: "C" }, messageId: "c2d-1" });
  const message = await arrival;
  log.device(`${text(message.payload)} with ${[...message.properties].map((pair) => pair.join("=")).join(", ")}`);
  same("message", text(message.payload), "set point 19");
  same("properties", [...message.properties], [["unit", "C"]]);
}

async function method(device: DeviceClient, hub: HubEmulator, log: Transcript): Promise<void> {
  log.section("Direct method");
  await device.onMethod("reboot", async ({ payload }) => ({ status: 200, payload: { rebooting: payload } }));
  const answer = await hub.invokeMethod("thermostat-1", "reboot", { delay: 5 });
  log.hub(`reboot answered ${answer.status} ${JSON.stringify(answer.payload)}`);
  same("method", answer, { status: 200, payload: { rebooting: { delay: 5 } } });
}

async function twin(device: DeviceClient, hub: HubEmulator, log: Transcript): Promise<void> {
  log.section("Twin");
  let changed!: (patch: unknown) => void;
  const change = within("the desired change", new Promise<unknown>((resolve) => (changed = resolve)));
  await device.onDesiredProperties((patch) => changed(patch));
  await log.timed("reported properties sent", () => device.updateReportedProperties({ firmware: "1.0.0" }));
  hub.updateDesiredProperties("thermostat-1", { setPoint: 19 });
  log.device(`desired properties changed: ${JSON.stringify(await change)}`);
  const { desired, reported } = await log.timed("twin read", () => device.getTwin());
  same("desired", (desired as Record<string, unknown>)["setPoint"], 19);
  same("reported", (reported as Record<string, unknown>)["firmware"], "1.0.0");
}

export const demo: Command = {
  help: `Usage: hubwire demo

Starts a hub in this process, connects a device to it over TLS with a SAS token, and prints what went over the
wire and how long it took: telemetry, a cloud-to-device message, a direct method, the twin. No network, no
account. Exits with 0 when every step arrived at the other end.

Options:
  -h, --help`,

  async run(args) {
    const { positionals } = parse(args, {});
    if (positionals.length > 0) throw new HubwireError("ERR_INVALID_ARGUMENT", "hubwire demo takes no arguments");
    const log = new Transcript((line) => console.log(line));
    log.section("A hub in this process and a device, over TLS on the loopback interface");
    const hub = await HubEmulator.start();
    log.hub(`listening on port ${hub.port}, with a certificate authority of its own`);
    const { connectionString } = hub.createDevice("thermostat-1");
    log.hub("registered the device thermostat-1");
    const device = new DeviceClient(connectionString, { port: hub.port, tls: { ca: hub.caCertificate }, reconnect: false });
    device.on("error", (error) => log.device(`${error.message} (${error.code})`));
    try {
      await log.timed("connected: TCP, TLS, CONNECT with a SAS token, CONNACK", () => device.connect());
      for (const step of [telemetry, cloudToDevice, method, twin]) await step(device, hub, log);
      log.section("Goodbye");
      await log.timed("closed", () => device.close());
    } finally {
      await device.close();
      await hub.close();
      log.close();
    }
    console.log(`\nDone: ${log.packets} MQTT packets, ${log.bytes} bytes, ${log.elapsed.toFixed(0)} ms in all.`);
    return 0;
  },
};
