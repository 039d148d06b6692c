/** Renewal after renewal under load: nothing is lost, nothing is rejected. */
import { expect, test } from "vitest";
import type { TelemetryMessage } from "../../src/emulator/index.js";
import { laboratory, until } from "./lab.js";

// Without the five minutes by which a hub lets clocks differ.
const lab = laboratory({ limits: { clockSkew: 0 } });

test("10,000 messages with a renewal every second: 0 lost, 0 rejected, handlers and subscriptions alive", async () => {
  const { connectionString } = lab.hub.createDevice("renewing");
  const device = lab.client(connectionString, { tokenLifetime: 5_000, renewAt: 0.2 });
  const arrived = new Set<string>();
  const count = ({ properties }: TelemetryMessage) => arrived.add(properties.get("index") as string);
  lab.hub.on("telemetry", count);
  let commands = 0;
  let desired = 0;
  let connects = 0;
  let disconnects = 0;
  device.on("connect", () => connects++);
  device.on("disconnect", (error) => (expect(error).toBeUndefined(), disconnects++));
  await device.connect();
  await device.messages(() => void commands++);
  await device.onMethod("echo", async ({ payload }) => ({ status: 200, payload }));
  await device.onDesiredProperties(() => void desired++);

  const outcomes: Promise<void>[] = [];
  let sent = 0;
  const completions = [];
  const methods = [];
  // Spread over several renewals: a slice each time the one before was acknowledged.
  while (sent < 10_000 || connects < 4) {
    const slice = Array.from({ length: 50 }, () => device.sendTelemetry("x", { properties: { index: `${sent++}` } }));
    outcomes.push(...slice);
    await Promise.all(slice);
    if (completions.length < connects) {
      completions.push((await lab.hub.sendToDevice("renewing", "c")).completion);
      lab.hub.updateDesiredProperties("renewing", { count: connects });
      methods.push(lab.hub.invokeMethod("renewing", "echo", connects, { connectTimeout: 10_000 }));
    }
    await new Promise((resolve) => setTimeout(resolve, sent < 10_000 ? 10 : 50));
  }
  await Promise.all(outcomes);
  expect(await Promise.all(completions)).toEqual(completions.map(() => "Success"));
  expect((await Promise.all(methods)).map(({ status }) => status)).toEqual(methods.map(() => 200));
  await until(() => desired > 0, "desired properties");
  lab.hub.off("telemetry", count);
  expect(sent).toBeGreaterThanOrEqual(10_000);
  expect(arrived.size).toBe(sent);
  expect(connects).toBeGreaterThanOrEqual(4);
  expect(disconnects).toBe(connects - 1);
  expect(commands).toBeGreaterThanOrEqual(completions.length);
  expect(device.errors).toEqual([]);
  // As if nothing had happened: every token was replaced before the hub had to close a connection.
  expect(device.metrics.reconnects).toBe(0);
}, 60_000);
