/**
 * A RabbitMQ with its MQTT plugin, of the test's own: its own folders, ports, node name, cookie and epmd.
 *
 * Invariant: what `start` started is over when `stop` returns, by force if it must be, and when this process ends.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Debian's; the one on the PATH gives up the rights that the test's folders need. */
const program = ["/usr/lib/rabbitmq/bin/rabbitmq-server", "/opt/rabbitmq/sbin/rabbitmq-server"].find(existsSync);
let announced = false;

/** Whether RabbitMQ can be started; says so once if it can't, and throws in CI: a step that may be left out proves nothing. */
export function rabbitAvailable(): boolean {
  if (program) return true;
  const text = "RabbitMQ (rabbitmq-server) is not installed: the tests against it do not run";
  if (process.env["CI"]) throw new Error(text);
  if (!announced) console.warn(text);
  announced = true;
  return false;
}

export class RabbitMq {
  readonly port: number;
  readonly #distribution: number;
  readonly #epmdPort: number;
  /** Where the node says which port it has; Erlang will not start without. */
  #epmd: ChildProcess | undefined;
  readonly #folder = mkdtempSync(join(tmpdir(), "hubwire-rabbitmq-"));
  #process: ChildProcess | undefined;
  readonly #killed = (): void => {
    this.#signal("SIGKILL");
    this.#epmd?.kill("SIGKILL");
  };

  private constructor(port: number, distribution: number, epmdPort: number) {
    this.port = port;
    this.#distribution = distribution;
    this.#epmdPort = epmdPort;
    mkdirSync(join(this.#folder, "conf.d"));
    writeFileSync(join(this.#folder, "enabled_plugins"), "[rabbitmq_mqtt].");
    writeFileSync(
      join(this.#folder, "rabbitmq.conf"),
      [
        "listeners.tcp = none",
        `mqtt.listeners.tcp.1 = 127.0.0.1:${port}`,
        "mqtt.allow_anonymous = true",
        // A session's messages wait in a queue; the plugin's own window is 10.
        "mqtt.prefetch = 100",
        "",
      ].join("\n"),
    );
    process.once("exit", this.#killed);
  }

  static async start(): Promise<RabbitMq> {
    const broker = new RabbitMq(await freePort(), await freePort(), await freePort());
    try {
      await broker.restart();
    } catch (error) {
      await broker.stop();
      throw error;
    }
    return broker;
  }

  /** Ends the node if it runs, and starts it on what it left; resolves when it takes connections. */
  async restart(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    await this.#end(signal);
    this.#epmd ??= spawn("epmd", ["-port", String(this.#epmdPort), "-address", "127.0.0.1"], { stdio: "ignore" });
    const place = (name: string): string => join(this.#folder, name);
    // A group of its own, so that the shells and the helpers around the virtual machine end with it.
    const child = spawn(program as string, [], {
      detached: true,
      cwd: this.#folder,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        PATH: process.env["PATH"],
        HOME: this.#folder,
        RABBITMQ_NODENAME: `hubwire-${this.port}@localhost`,
        RABBITMQ_MNESIA_BASE: place("mnesia"),
        RABBITMQ_LOG_BASE: place("log"),
        RABBITMQ_LOGS: "-",
        RABBITMQ_CONFIG_FILE: place("rabbitmq.conf"),
        RABBITMQ_ADVANCED_CONFIG_FILE: place("advanced.config"),
        RABBITMQ_CONFIG_FILES: place("conf.d"),
        RABBITMQ_CONF_ENV_FILE: place("environment.conf"),
        RABBITMQ_ENABLED_PLUGINS_FILE: place("enabled_plugins"),
        RABBITMQ_FEATURE_FLAGS_FILE: place("feature_flags"),
        RABBITMQ_PID_FILE: place("pid"),
        RABBITMQ_DIST_PORT: String(this.#distribution),
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: "-setcookie hubwire +S 1 +sbwt none",
        // Also for what the node starts to look for an epmd: ours, and never one of its own, which would stay.
        ERL_AFLAGS: "-start_epmd false",
        ERL_EPMD_PORT: String(this.#epmdPort),
      },
    });
    this.#process = child;
    await new Promise<void>((resolve, reject) => {
      let log = "";
      const read = (text: Buffer): void => {
        log += text.toString();
        if (log.includes("Server startup complete")) resolve();
      };
      child.stdout.on("data", read);
      child.stderr.on("data", read);
      child.on("error", reject);
      child.on("exit", (status) =>
        reject(new Error(`RabbitMQ did not start (status ${status}): ${log.slice(-4_000)}`)),
      );
    });
  }

  async stop(): Promise<void> {
    await this.#end("SIGTERM");
    if (this.#epmd?.exitCode === null && this.#epmd.signalCode === null) {
      const over = once(this.#epmd, "exit");
      this.#epmd.kill("SIGKILL");
      await over;
    }
    process.removeListener("exit", this.#killed);
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Ends the group: as asked, and after ten seconds by force. */
  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const over = once(child, "close");
    this.#signal(signal);
    const force = setTimeout(() => this.#signal("SIGKILL"), 10_000);
    await over;
    clearTimeout(force);
    // The script may end before the virtual machine does.
    this.#signal("SIGKILL");
    await gone(join(this.#folder, "pid"));
    this.#process = undefined;
  }

  #signal(signal: NodeJS.Signals): void {
    const pid = this.#process?.pid;
    if (pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch (error) {
      // Nobody is left.
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}

/** Resolves when the process that the file names has ended. */
async function gone(file: string): Promise<void> {
  if (!existsSync(file)) return;
  const pid = Number(readFileSync(file, "latin1"));
  try {
    for (;;) {
      process.kill(pid, 0);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  } catch {
    rmSync(file, { force: true });
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
