/** One connection, or attempt at one, at a time; what an older attempt reports is not heard. */
import { Duplex } from "node:stream";
import { expect, test } from "vitest";
import { Dialer } from "../../src/client/dialer.js";
import { type Credentials, type MqttClientOptions, resolveOptions } from "../../src/client/options.js";

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function scene(options: MqttClientOptions = {}) {
  const log: string[] = [];
  const made: { signal: AbortSignal; give: (stream: Duplex) => void }[] = [];
  const createConnection: MqttClientOptions["createConnection"] = ({ signal }) =>
    new Promise<Duplex>((give) => made.push({ signal, give }));
  const resolved = resolveOptions({ protocol: "mqtt", createConnection, clientId: "c", ...options }, undefined);
  const dialer = new Dialer(resolved, {
    opened: () => log.push("opened"),
    received: () => {},
    writable: () => {},
    progress: () => {},
    flushed: () => {},
    closed: (error) => log.push(`closed ${error?.code}`),
  });
  return { dialer, log, made };
}

const line = (): Duplex => new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });

/** Credentials that come, or fail, when the test says so. */
function vault() {
  const asked: { give: (credentials: Credentials) => void; fail: (error: unknown) => void }[] = [];
  const credentials = () => new Promise<Credentials>((give, fail) => asked.push({ give, fail }));
  return { asked, credentials };
}

test("without a callback the options' credentials are those of each attempt", async () => {
  const tls = { servername: "s" };
  const { dialer, made, log } = scene({ username: "u", password: "p", tls });
  dialer.dial();
  await turn();
  expect(dialer.credentials).toEqual({ username: "u", password: "p", tls });
  made[0]!.give(line());
  await turn();
  expect(log).toEqual(["opened"]);
  dialer.hangUp();
});

test("an attempt that is given up ends its connection, which is not heard of any more", async () => {
  const { dialer, made, log } = scene();
  dialer.dial();
  await turn();
  expect(dialer.connection).toBeDefined();
  dialer.hangUp();
  expect(dialer.connection).toBeUndefined();
  expect(made[0]!.signal.aborted).toBe(true);
  const late = line();
  made[0]!.give(late);
  await turn();
  expect([late.destroyed, log]).toEqual([true, []]);
});

test("a new attempt takes the place of the one before", async () => {
  const { dialer, made, log } = scene();
  dialer.dial();
  await turn();
  const [first, second] = [line(), line()];
  made[0]!.give(first);
  await turn();
  dialer.dial();
  expect(first.destroyed).toBe(true);
  await turn();
  made[1]!.give(second);
  await turn();
  expect(log).toEqual(["opened", "opened"]);
  dialer.hangUp();
  dialer.hangUp();
  expect(second.destroyed).toBe(true);
});

test("credentials that come when the attempt is over, or another is under way, connect nothing", async () => {
  const { asked, credentials } = vault();
  const { dialer, made, log } = scene({ credentials });
  dialer.dial();
  dialer.hangUp();
  asked[0]!.give({ username: "old" });
  await turn();
  expect([dialer.connection, made.length]).toEqual([undefined, 0]);
  dialer.dial();
  dialer.dial();
  asked[1]!.give({ username: "older" });
  await turn();
  expect(made).toHaveLength(0);
  asked[2]!.give({ username: "new" });
  await turn();
  expect([dialer.credentials.username, made.length, log]).toEqual(["new", 1, []]);
  dialer.hangUp();
});

test("a callback that fails ends its own attempt, and no other", async () => {
  const { asked, credentials } = vault();
  const { dialer, log } = scene({ credentials });
  dialer.dial();
  dialer.dial();
  asked[0]!.fail(new Error("no"));
  await turn();
  expect(log).toEqual([]);
  asked[1]!.fail(new Error("no"));
  await turn();
  expect(log).toEqual(["closed ERR_HANDLER"]);
});
