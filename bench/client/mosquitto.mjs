// mosquitto with a certificate made here, on free ports of the loopback interface.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

const answers = (port) =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });

/** Why mosquitto can't be measured with, or nothing. */
export const noMosquitto = spawnSync("mosquitto", ["-h"]).error && "mosquitto: it is not installed, or not in PATH";

export async function startMosquitto() {
  const { createAuthority } = await import("../../dist/emulator/index.js");
  const authority = createAuthority();
  const { chain, key } = authority.issue({ dnsNames: ["localhost"], ipAddresses: ["127.0.0.1"] });
  const place = mkdtempSync(join(tmpdir(), "hubwire-bench-"));
  const [tls, tcp] = [await freePort(), await freePort()];
  writeFileSync(join(place, "chain.pem"), chain);
  writeFileSync(join(place, "key.pem"), key);
  const lines = [
    `listener ${tcp} 127.0.0.1`,
    `listener ${tls} 127.0.0.1`,
    `certfile ${place}/chain.pem`,
    `keyfile ${place}/key.pem`,
    "allow_anonymous true",
    "max_inflight_messages 0",
    // Or it drops messages of QoS 0 that a client has not taken yet.
    "max_queued_messages 0",
    ...(process.getuid?.() === 0 ? ["user root"] : []),
  ];
  writeFileSync(join(place, "mosquitto.conf"), `${lines.join("\n")}\n`);
  const child = spawn("mosquitto", ["-c", join(place, "mosquitto.conf")], { stdio: "ignore" });
  child.once("error", (error) => {
    throw error;
  });
  const stop = () => {
    process.off("exit", stop);
    child.kill();
    rmSync(place, { recursive: true, force: true });
  };
  process.once("exit", stop);
  for (let attempt = 0; attempt < 100; attempt++) {
    if (await answers(tls)) return { tls, tcp, ca: authority.certificate, stop };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  stop();
  throw new Error("mosquitto did not start within five seconds");
}
