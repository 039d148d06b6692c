/** A device that its `reprovision` gives another identity: what waits, and what stands in the way of the new one. */
import { connect } from "node:net";
import { expect, test } from "vitest";
import { FakeClock } from "../support/clock.js";
import { failure, laboratory, next, until } from "./lab.js";

const lab = laboratory({});
const reconnect = { minDelay: 10_000, maxDelay: 20_000 };

test("twin requests that had no answer are asked of the new hub", async () => {
  const client = lab.client(lab.hub.createDevice("asking").connectionString, {
    reprovision: () => lab.hub.createDevice("asked").connectionString,
  });
  await client.connect();
  lab.hub.faultsOf("asking").set({ twin: "silent" });
  const twin = client.getTwin();
  const update = client.updateReportedProperties({ a: 1 });
  // An answer to what comes later: both have been read.
  await client.sendTelemetry("x");
  lab.hub.removeDevice("asking");
  expect(await update).toEqual({ version: 2 });
  expect(await twin).toMatchObject({ desired: { $version: 1 } });
  expect(client.errors).toEqual([]);
});

test("a connect() that waits is for the new identity too; what waited for the old hub says so", async () => {
  const client = lab.client(lab.hub.createDevice("called").connectionString, {
    reconnect: { minDelay: 50, maxDelay: 50 },
    reprovision: () => lab.hub.createDevice("callee").connectionString,
  });
  await client.connect();
  const lost = next(client, "disconnect");
  lab.hub.removeDevice("called");
  await lost;
  const sending = failure(client.sendTelemetry("for the old hub"));
  await client.connect();
  expect(client.deviceId).toBe("callee");
  expect(await sending).toMatchObject({ code: "ERR_SESSION_LOST", message: expect.stringContaining("old hub") });
});

test("a new hub that refuses the device for a while does not end it, and reprovision is asked again", async () => {
  const { connectionString } = lab.hub.createDevice("unknown-yet", { enabled: false });
  let asked = 0;
  const client = lab.client(lab.hub.createDevice("known").connectionString, {
    reprovision: () => (asked++, connectionString),
  });
  await client.connect();
  const refused = next(client, "error");
  lab.hub.removeDevice("known");
  expect(await refused).toMatchObject({ code: "ERR_NOT_AUTHORIZED" });
  await until(() => asked > 2, "reprovision being asked");
  const connected = next(client, "connect");
  lab.hub.updateDevice("unknown-yet", { enabled: true });
  await connected;
  await client.sendTelemetry("x");
});

test.each(["while running", "at connect()"])("an outage of a minute at the move does not end it: %s", async (when) => {
  const clock = new FakeClock();
  clock.wallOffset = Date.now();
  const running = when === "while running";
  const old = lab.hub.createDevice(`from ${when}`.replaceAll(/\W/g, "-"), { enabled: running });
  const fresh = lab.hub.createDevice(`to ${when}`.replaceAll(/\W/g, "-"));
  let isDown = false;
  const client = lab.client(old.connectionString, {
    clock,
    reconnect,
    createConnection: () => {
      if (isDown) throw new Error("no network");
      return connect(lab.hub.port, "127.0.0.1");
    },
    reprovision: () => ((isDown = true), fresh.connectionString),
  });
  let outage = 0;
  client.on("reconnecting", ({ delay }) => {
    if (isDown && (outage += delay) > 60_000) isDown = false;
    setImmediate(() => clock.advance(delay));
  });
  const connecting = client.connect({ timeout: Infinity });
  if (running) {
    await connecting;
    lab.hub.removeDevice(old.deviceId);
  }
  await until(() => outage > 60_000 && client.connected, "the end of the outage");
  await connecting;
  expect(client.deviceId).toBe(fresh.deviceId);
  await client.sendTelemetry("x");
});
