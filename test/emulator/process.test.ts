/** The hub in a process that runs out of file descriptors: it goes on, and serves again when there are some. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { resolve } from "node:path";
import * as tls from "node:tls";
import { afterEach, expect, it } from "vitest";
import { soon } from "../support/peer.js";

const dist = resolve(import.meta.dirname, "../../dist/emulator/index.js");
const program = `
  const { HubEmulator } = await import(${JSON.stringify(dist)});
  const hub = await HubEmulator.start();
  hub.on("error", ({ code }) => console.error(code));
  console.log(JSON.stringify({ port: hub.port, ca: hub.caCertificate }));
  process.stdin.on("end", () => hub.close()).resume();
`;

const cleanup: (() => void)[] = [];
afterEach(() => cleanup.splice(0).forEach((clean) => clean()));

it.skipIf(process.platform === "win32")("survives running out of file descriptors", async () => {
  const child = spawn("sh", ["-c", 'ulimit -n 64; exec "$0" --input-type=module -e "$1"', process.execPath, program]);
  cleanup.push(() => child.kill("SIGKILL"));
  let stderr = "";
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const [line] = (await soon(once(child.stdout, "data"), "the hub")) as [Buffer];
  const { port, ca } = JSON.parse(line.toString()) as { port: number; ca: string };

  const sockets: Socket[] = [];
  cleanup.push(() => sockets.forEach((socket) => socket.destroy()));
  const settled = Array.from({ length: 150 }, () => {
    const socket = connect(port, "127.0.0.1").on("error", () => {});
    sockets.push(socket);
    return new Promise<void>((done) => socket.once("connect", done).once("close", done));
  });
  await soon(Promise.all(settled), "150 connections, or their end");
  // Those that found no descriptor are closed by the hub, or wait in the system's queue.
  for (const socket of sockets) socket.destroy();

  const secure = async (): Promise<void> => {
    for (;;) {
      const socket = tls.connect({ host: "127.0.0.1", servername: "localhost", port, ca });
      const outcome = await Promise.race([
        once(socket, "secureConnect").then(() => "secure"),
        new Promise((done) => socket.on("error", done).once("close", done)),
      ]).catch((error: unknown) => error);
      socket.destroy();
      if (outcome === "secure") return;
    }
  };
  await soon(secure(), "a handshake afterwards");
  expect(stderr).toMatch(/^(ERR_UNREACHABLE\n)*$/);
  const ended = once(child, "close");
  child.stdin.end();
  expect((await soon(ended, "the end"))[0]).toBe(0);
});
