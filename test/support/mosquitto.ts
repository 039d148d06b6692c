/**
 * A mosquitto of the test's own: a temporary configuration, a free loopback port, plain or TLS.
 *
 * Invariant: where mosquitto is not installed the tests that need it are skipped and say so; with `CI` or
 * `HUBWIRE_REQUIRE_MOSQUITTO` set that is an error instead.
 */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, connect, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAuthority } from "../../src/emulator/certificates.js";

const program = ["mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"].find(
  (name) => spawnSync(name, ["-h"]).error === undefined,
);
let announced = false;

/** Whether mosquitto can be started; says so once if it can't, and throws where it must be there. */
export function mosquittoAvailable(): boolean {
  if (program) return true;
  const text = "mosquitto is not installed: the tests against a real server do not run";
  if (process.env["CI"] || process.env["HUBWIRE_REQUIRE_MOSQUITTO"]) throw new Error(text);
  if (!announced) console.warn(`SKIPPED: ${text}`);
  announced = true;
  return false;
}

export interface MosquittoOptions {
  tls?: boolean;
  /** Keeps sessions and messages over `restart()`. */
  persistence?: boolean;
  /** A second listener, in the clear, for MQTT over WebSocket. */
  webSocket?: boolean;
  /** Further lines of the configuration. */
  config?: readonly string[];
}

/**
 * Configuration for tests that look at the order of messages: mosquitto 2.0 lets a new message overtake those that wait
 * for room in a subscriber's window, which is 20 by default.
 */
export const inOrder: readonly string[] = ["max_inflight_messages 0"];

export class Mosquitto {
  readonly port: number;
  /** Of the listener for WebSocket; 0 without. */
  readonly webSocketPort: number;
  /** PEM of the authority that signed the server's certificate; empty without TLS. */
  readonly ca: string;
  readonly #folder: string;
  #process: ChildProcess | undefined;

  constructor(port: number, webSocketPort: number, ca: string, folder: string) {
    this.port = port;
    this.webSocketPort = webSocketPort;
    this.ca = ca;
    this.#folder = folder;
  }

  static async start(options: MosquittoOptions = {}): Promise<Mosquitto> {
    const folder = mkdtempSync(join(tmpdir(), "hubwire-mosquitto-"));
    const port = await freePort();
    // Not 0 for "no bound": some versions then drop a client that has more than 20 QoS 2 messages on the way.
    const lines = [`listener ${port} 127.0.0.1`, "allow_anonymous true", "max_queued_messages 1000000"];
    let ca = "";
    if (options.tls) {
      const authority = createAuthority();
      const server = authority.issue({ dnsNames: ["localhost"], ipAddresses: ["127.0.0.1"] });
      ca = authority.certificate;
      writeFileSync(join(folder, "chain.pem"), server.chain);
      writeFileSync(join(folder, "key.pem"), server.key);
      lines.push(`certfile ${join(folder, "chain.pem")}`, `keyfile ${join(folder, "key.pem")}`);
    }
    if (options.persistence) {
      lines.push(
        "persistence true",
        `persistence_location ${folder}/`,
        "autosave_on_changes true",
        "autosave_interval 1",
      );
    }
    // Started as root it gives its rights up, and could then not read the files above.
    if (process.getuid?.() === 0) lines.push("user root");
    lines.push(...(options.config ?? []));
    const webSocketPort = options.webSocket ? await freePort() : 0;
    if (options.webSocket) lines.push(`listener ${webSocketPort} 127.0.0.1`, "protocol websockets");
    writeFileSync(join(folder, "mosquitto.conf"), `${lines.join("\n")}\n`);
    const broker = new Mosquitto(port, webSocketPort, ca, folder);
    await broker.restart();
    return broker;
  }

  /** Ends the running process, if there is one, and starts it with the same configuration. */
  async restart(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await this.kill(signal);
    const child = spawn(program as string, ["-c", join(this.#folder, "mosquitto.conf")], { stdio: "ignore" });
    this.#process = child;
    for (let tries = 0; !(await answers(this.port)); tries++) {
      if (child.exitCode !== null || tries > 500) throw new Error(`mosquitto did not start (status ${child.exitCode})`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Ends the process; its files stay for `restart`. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const over = once(child, "exit");
    child.kill(signal);
    await over;
  }

  async stop(): Promise<void> {
    await this.kill("SIGTERM");
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => (socket.destroy(), resolve(true)));
    socket.once("error", () => resolve(false));
  });
}
