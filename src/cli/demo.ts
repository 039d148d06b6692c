/**
 * `hubwire demo`: the main job, end to end, over real TLS connections to a hub in this process.
 *
 * Invariant: a demo in which any step did not work exits 1.
 */
import { HubEmulator } from "../emulator/index.js";
import { DeviceClient } from "../hub/index.js";
import { badArgument, command, Failure } from "./command.js";
import { certificate, cloudToDevice, method, module, provisioning, renewal, telemetry, twin } from "./demo-steps.js";
import { Transcript } from "./transcript.js";

export const demo = command({
  name: "demo",
  usage: "",
  about: `Starts a hub in this process, connects a device to it over TLS with a SAS token, and prints what went over the
wire and how long it took: telemetry, a cloud-to-device message, a direct method, the twin, a token renewal under
load, a module, a device with a certificate, provisioning. No network, no account. Exits with 0 when every step
arrived at the other end.`,
  options: {},

  async run({ positionals }, io) {
    if (positionals.length > 0) throw badArgument("hubwire demo takes no arguments");
    const log = new Transcript(io.clock, (line) => io.stdout.write(`${line}\n`));
    log.section("A hub in this process and a device, over TLS on the loopback interface");
    const hub = await HubEmulator.start();
    log.hub(`listening on port ${hub.port}, with a certificate authority of its own`);
    const { connectionString } = hub.createDevice("thermostat-1");
    log.hub("registered the device thermostat-1");
    const device = new DeviceClient(connectionString, {
      port: hub.port,
      tls: { ca: hub.caCertificate },
      reconnect: false,
    });
    device.on("error", (error) => log.device(`${error.message} (${error.code})`));
    try {
      await log.timed("connected: TCP, TLS, CONNECT with a SAS token, CONNACK", () => device.connect());
      for (const step of [telemetry, cloudToDevice, method, twin]) await step(device, hub, log);
      log.section("Goodbye");
      await log.timed("closed", () => device.close());
      for (const step of [renewal, module, certificate, provisioning]) {
        if (io.stop.aborted) throw new Failure("interrupted");
        await step(hub, log);
      }
    } finally {
      await device.close();
      await hub.close();
      log.close();
    }
    io.stdout.write(`\nDone: ${log.packets} MQTT packets, ${log.bytes} bytes, ${log.elapsed.toFixed(0)} ms in all.\n`);
    return 0;
  },
});
