/** Brokers that are not ours, on loopback: Aedes in this process, and mosquitto where it is installed. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Aedes } from "aedes";

export interface Broker {
  port: number;
  close(): Promise<void>;
}

/** What the tests run against. In CI mosquitto must be there: a step that may be left out proves nothing. */
export function availableBrokers(): { name: string; start: () => Promise<Broker> }[] {
  const brokers = [{ name: "Aedes", start: startAedes }];
  if (spawnSync("mosquitto", ["-h"]).error === undefined) brokers.push({ name: "mosquitto", start: startMosquitto });
  else if (process.env["CI"]) throw new Error("mosquitto is not installed");
  else console.warn("mosquitto is not installed: the tests against it do not run");
  return brokers;
}

async function startAedes(): Promise<Broker> {
  // Room for all that the tests leave for a client that is away.
  const broker = await Aedes.createBroker({ queueLimit: 100_000 });
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    broker.handle(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      await new Promise<void>((resolve) => broker.close(resolve));
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

async function startMosquitto(): Promise<Broker> {
  const folder = mkdtempSync(join(tmpdir(), "hubwire-interop-"));
  const port = await freePort();
  const config = join(folder, "mosquitto.conf");
  writeFileSync(
    config,
    [`listener ${port} 127.0.0.1`, "allow_anonymous true", "max_queued_messages 0", "set_tcp_nodelay true"].join("\n"),
  );
  const child = spawn("mosquitto", ["-c", config], { stdio: ["ignore", "ignore", "pipe"] });
  const exited = once(child, "exit");
  let log = "";
  await new Promise<void>((resolve, reject) => {
    child.stderr.on("data", (text: Buffer) => {
      log += text.toString();
      if (/mosquitto version \S+ running/.test(log)) resolve();
    });
    child.on("error", reject);
    child.on("exit", () => reject(new Error(`mosquitto did not start: ${log}`)));
  });
  return {
    port,
    async close() {
      child.kill();
      await exited;
      rmSync(folder, { recursive: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
