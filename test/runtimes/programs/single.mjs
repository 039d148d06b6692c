// A program for a bundle of one file: it talks to a hub and says so. What it is told comes from the environment, since
// a single executable keeps its arguments for itself.
import { DeviceClient } from "hubwire";

const { port, ca, connectionString } = JSON.parse(process.env.SETTINGS);
const device = new DeviceClient(connectionString, { port, tls: { ca } });
void device
  .connect()
  .then(() => device.sendTelemetry("from a single file"))
  .then(() => device.close())
  .then(() => console.log("sent"));
