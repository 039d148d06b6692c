/**
 * The steps of the demo.
 *
 * Invariant: every step waits for its effect at the other end and compares it with what was meant; it throws where
 * they differ, or where nothing arrives in time.
 */
import type { HubEmulator } from "../emulator/index.js";
import { setAlarm, systemClock } from "../clock.js";
import { HubwireError } from "../errors.js";
import { DeviceClient, provisionDevice } from "../hub/index.js";
import type { Transcript } from "./transcript.js";

const DEADLINE = 10_000;

/** Rejects when a step's effect does not show at the other end in time, so that the demo never hangs. */
async function within<T>(what: string, promise: Promise<T>): Promise<T> {
  let cancel = (): void => {};
  const late = new Promise<never>((_resolve, reject) => {
    const fail = () => reject(new HubwireError("ERR_TIMEOUT", `${what} did not happen`));
    cancel = setAlarm(systemClock, DEADLINE, fail);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    cancel();
  }
}

/** Compares what arrived with what was sent. */
function same(what: string, got: unknown, wanted: unknown): void {
  if (JSON.stringify(got) !== JSON.stringify(wanted)) {
    throw new HubwireError(
      "ERR_PROTOCOL_VIOLATION",
      `${what}: got ${JSON.stringify(got)}, not ${JSON.stringify(wanted)}`,
    );
  }
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

export async function telemetry(device: DeviceClient, hub: HubEmulator, log: Transcript): Promise<void> {
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
  same(
    "properties",
    [...message.properties],
    [
      ["alarm", "no"],
      ["room", "Küche 1"],
    ],
  );
}

export async function cloudToDevice(device: DeviceClient, hub: HubEmulator, log: Transcript): Promise<void> {
  log.section("Cloud to device");
  let arrived!: (message: { payload: Uint8Array; properties: Map<string, string | null> }) => void;
  const arrival = within(
    "the message's arrival",
    new Promise<Parameters<typeof arrived>[0]>((resolve) => (arrived = resolve)),
  );
  await device.messages((message) => arrived(message));
  await hub.sendToDevice("thermostat-1", "set point 19", { properties: { unit: "C" }, messageId: "c2d-1" });
  const message = await arrival;
  log.device(`${text(message.payload)} with ${[...message.properties].map((pair) => pair.join("=")).join(", ")}`);
  same("message", text(message.payload), "set point 19");
  same("properties", [...message.properties], [["unit", "C"]]);
}

export async function method(device: DeviceClient, hub: HubEmulator, log: Transcript): Promise<void> {
  log.section("Direct method");
  await device.onMethod("reboot", async ({ payload }) => ({ status: 200, payload: { rebooting: payload } }));
  const answer = await hub.invokeMethod("thermostat-1", "reboot", { delay: 5 });
  log.hub(`reboot answered ${answer.status} ${JSON.stringify(answer.payload)}`);
  same("method", answer, { status: 200, payload: { rebooting: { delay: 5 } } });
}

export async function twin(device: DeviceClient, hub: HubEmulator, log: Transcript): Promise<void> {
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

/** What a client needs to dial the demo's hub. */
const dial = (hub: HubEmulator) => ({ port: hub.port, tls: { ca: hub.caCertificate }, reconnect: false });

/** Tokens of five seconds, renewed after one, while messages are on their way. */
export async function renewal(hub: HubEmulator, log: Transcript): Promise<void> {
  log.section("Token renewal under load");
  const { connectionString } = hub.createDevice("meter-1");
  let arrived = 0;
  const count = () => arrived++;
  hub.on("telemetry", count);
  let connections = 0;
  const device = new DeviceClient(connectionString, { ...dial(hub), tokenLifetime: 5_000, renewAt: 0.05 });
  const renewed = within(
    "the renewal",
    new Promise<void>((resolve) => device.on("connect", () => ++connections === 2 && resolve())),
  );
  log.quiet = true;
  await device.connect();
  let sent = 0;
  let over = false;
  const sending = (async () => {
    while (!over) {
      const batch = Array.from({ length: 50 }, () => device.sendTelemetry(String(sent++)));
      await Promise.all(batch);
    }
  })();
  await renewed;
  over = true;
  await sending;
  await device.close();
  log.quiet = false;
  hub.off("telemetry", count);
  log.device(`sent ${sent} messages, all acknowledged, while the connection was renewed with a new token`);
  log.hub(`received ${arrived}`);
  same("messages", arrived >= sent, true);
}

/** A module: its output, and a message to its input. */
export async function module(hub: HubEmulator, log: Transcript): Promise<void> {
  log.section("A module");
  const { connectionString } = hub.createModule("thermostat-1", "filter");
  const client = new DeviceClient(connectionString, dial(hub));
  let arrived!: (payload: Uint8Array) => void;
  const input = within("the input message", new Promise<Uint8Array>((resolve) => (arrived = resolve)));
  await client.connect();
  await client.onInput("raw", ({ payload }) => arrived(payload));
  await hub.sendToDevice("thermostat-1", "17", { moduleId: "filter", inputName: "raw" });
  log.device(`input raw: ${text(await input)}`);
  const output = within(
    "the output message",
    new Promise<string | undefined>((resolve) => hub.once("telemetry", ({ outputName }) => resolve(outputName))),
  );
  await client.sendToOutput("clean", "17.0");
  log.hub(`output ${await output}`);
  same("output", await output, "clean");
  await client.close();
}

/** A device that proves itself with an X.509 certificate in place of a token. */
export async function certificate(hub: HubEmulator, log: Transcript): Promise<void> {
  log.section("A device with a certificate");
  const { connectionString, certificate: cert, key } = hub.createDevice("camera-1", { x509: true });
  if (cert === undefined || key === undefined)
    throw new HubwireError("ERR_INVALID_ARGUMENT", "no certificate was made");
  const device = new DeviceClient(connectionString, { ...dial(hub), x509: { cert, key } });
  await device.connect();
  await log.timed("sent, acknowledged", () => device.sendTelemetry("a picture"));
  await device.close();
}

/** The Device Provisioning Service assigns a hub; the device connects with the result. */
export async function provisioning(hub: HubEmulator, log: Transcript): Promise<void> {
  log.section("Provisioning");
  const { primaryKey } = hub.createEnrollment("sensor-9");
  const { port, tls } = dial(hub);
  const result = await log.timed("registered", () =>
    provisionDevice({
      host: "localhost",
      port,
      tls,
      idScope: hub.idScope,
      registrationId: "sensor-9",
      symmetricKey: primaryKey,
    }),
  );
  log.device(`belongs to ${result.assignedHub} as ${result.deviceId}`);
  const device = new DeviceClient(result.connectionString, dial(hub));
  await device.connect();
  await device.sendTelemetry("provisioned");
  await device.close();
}
