// The devices of one thread: connects them at the ramp, then each sends at its rate for so many seconds.
import { createSecureContext } from "node:tls";
import { parentPort, workerData } from "node:worker_threads";
import { MqttClient } from "../../dist/client/index.js";
import { DeviceClient } from "../../dist/hub/index.js";

const { host, port, plain, ca, username, password, ramp, rate, payloadBytes, seconds, mine, strings } = workerData;
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const say = (state) => parentPort.postMessage({ state });
const secureContext = createSecureContext(ca ? { ca } : {});
const payload = Buffer.alloc(payloadBytes, "x");
const result = { connected: 0, failed: 0, lost: 0, connecting: [], latencies: [], codes: [] };

function make(index) {
  const tls = { secureContext };
  if (strings) {
    const device = new DeviceClient(strings[index], { ...(port && { port }), tls });
    return { client: device, send: () => device.sendTelemetry(payload) };
  }
  const client = new MqttClient({
    host,
    ...(port && { port }),
    protocol: plain ? "mqtt" : "mqtts",
    clientId: `fleet-${mine[index]}`,
    ...(!plain && { tls }),
    ...(username && { username }),
    ...(password && { password }),
  });
  return { client, send: () => client.publish(`fleet/${mine[index]}`, payload, { qos: 1 }) };
}

const fleet = [];
let over = false;
const note = (error) => result.codes.push(error.code ?? error.name);
const begun = performance.now();
await Promise.all(
  mine.map(async (_, index) => {
    await sleep((index / ramp) * 1000);
    const one = make(index);
    one.client.on("error", note);
    one.client.on("disconnect", () => {
      if (!over) result.lost++;
    });
    const begin = performance.now();
    try {
      await one.client.connect();
    } catch (error) {
      return note(error);
    }
    result.connecting.push(performance.now() - begin);
    result.connected++;
    fleet.push(one);
    if (result.connected % 50 === 0) say(`${result.connected} of ${mine.length} connected`);
  }),
);
say(`sends, after ${((performance.now() - begun) / 1000).toFixed(1)} s`);

/** What is on its way. The next message does not wait for it: a slow answer must not make the rate, and the figures, kinder. */
const pending = new Set();
async function timed(send) {
  const begin = performance.now();
  try {
    await send();
    result.latencies.push(performance.now() - begin);
  } catch (error) {
    result.failed++;
    note(error);
  }
}

const end = performance.now() + seconds * 1000;
await Promise.all(
  fleet.map(async ({ send }, index) => {
    // Their turns are spread over the interval, as those of devices are that started at different times.
    for (let at = index / fleet.length; ; at++) {
      const due = end - seconds * 1000 + (at / rate) * 1000;
      if (due >= end) return;
      await sleep(Math.max(0, due - performance.now()));
      const one = timed(send).finally(() => pending.delete(one));
      pending.add(one);
    }
  }),
);
await Promise.all(pending);
// A server that can't keep up acknowledges the rest after the time.
result.seconds = Math.max(seconds, (performance.now() - end) / 1000 + seconds);
over = true;
await Promise.all(fleet.map(({ client }) => client.close({ force: true })));
parentPort.postMessage({ result });
