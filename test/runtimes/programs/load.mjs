// A device that sends all the time, in whatever heap it is given: `load.mjs '{"port":…,"ca":…,"connectionString":…,"count":…}'`.
import { DeviceClient } from "hubwire";

const { port, ca, connectionString, count } = JSON.parse(process.argv[2]);
const device = new DeviceClient(connectionString, { port, tls: { ca } });
await device.connect();
let sent = 0;
const worker = async () => {
  while (sent < count) {
    sent++;
    await device.sendTelemetry({ sequence: sent, text: "x".repeat(200) }, { properties: { room: "kitchen" } });
  }
};
await Promise.all(Array.from({ length: 200 }, worker));
await device.close();
console.log(`sent ${sent}`);
