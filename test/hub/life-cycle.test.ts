/** Calls before connect(), after the client has given up, and after close(): each settles, and says what is so. */
import { createConnection } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { HubMessage } from "../../src/hub/index.js";
import { bytes, Peer, type PeerConnection } from "../support/peer.js";
import { failure, laboratory, next, until } from "./lab.js";

const lab = laboratory();

describe("before connect()", () => {
  test("handlers are taken at once, and work when it has resolved", async () => {
    const device = lab.client(lab.hub.createDevice("early-handlers").connectionString);
    const messages: string[] = [];
    const changes: unknown[] = [];
    // None of these may wait for what comes after it.
    await device.messages(({ payload }) => void messages.push(Buffer.from(payload).toString()));
    await device.onMethod("m", () => ({ payload: 1 }));
    await device.onDesiredProperties((patch) => void changes.push(patch));
    await device.connect();
    expect((await lab.hub.invokeMethod("early-handlers", "m")).payload).toBe(1);
    const { completion } = await lab.hub.sendToDevice("early-handlers", "x");
    expect(await completion).toBe("Success");
    lab.hub.updateDesiredProperties("early-handlers", { a: 1 });
    await until(() => changes.length > 0, "the change");
    expect([messages, changes, device.errors]).toEqual([["x"], [{ a: 1 }], []]);
  });

  test("what the twin holds already is the first that a handler hears", async () => {
    const { connectionString } = lab.hub.createDevice("early-twin");
    lab.hub.updateDesiredProperties("early-twin", { a: 1, b: { c: 2 } });
    const device = lab.client(connectionString);
    const changes: unknown[] = [];
    await device.onDesiredProperties((patch, version) => void changes.push([patch, version]));
    await device.connect();
    await until(() => changes.length > 0, "the document");
    expect(changes).toEqual([[{ a: 1, b: { c: 2 } }, 2]]);
  });

  test("an input's handler, and an iteration", async () => {
    lab.hub.createDevice("early-module");
    const module = lab.client(lab.hub.createModule("early-module", "m").connectionString);
    const inputs: string[] = [];
    await module.onInput("in", ({ payload }) => void inputs.push(Buffer.from(payload).toString()));
    const rest = module.messages();
    const first = rest.next();
    await module.connect();
    for (const inputName of ["in", "other"]) {
      await lab.hub.sendToDevice("early-module", `to ${inputName}`, { moduleId: "m", inputName });
    }
    expect(((await first).value as HubMessage).inputName).toBe("other");
    expect(inputs).toEqual(["to in"]);
  });
});

describe("when the client has given up", () => {
  test("iteration ends with the error, once; a new one may be read after connect()", async () => {
    const device = await lab.device("given-up", { reconnect: false });
    const waiting = device.messages();
    const idle = device.messages();
    const failed = failure(waiting.next());
    const after = waiting.next();
    lab.hub.disconnectDevice("given-up");
    expect(await failed).toMatchObject({ code: "ERR_CONNECTION_LOST" });
    expect(await after).toMatchObject({ done: true });
    expect(await failure(idle.next())).toMatchObject({ code: "ERR_CONNECTION_LOST" });
    expect(await idle.next()).toMatchObject({ done: true });
    const again = device.messages();
    const message = again.next();
    await device.connect();
    await lab.hub.sendToDevice("given-up", "x");
    expect((await message).done).toBe(false);
  });

  test("a connect() that is refused ends what waited for it", async () => {
    const device = lab.client({ hostName: "localhost", deviceId: "nobody", sharedAccessKey: "AAAA" });
    const message = failure(device.messages().next());
    const twin = failure(device.getTwin());
    expect(await failure(device.connect())).toMatchObject({ code: "ERR_NOT_AUTHORIZED" });
    expect(await message).toMatchObject({ code: "ERR_NOT_AUTHORIZED" });
    expect(await twin).toMatchObject({ code: "ERR_NOT_AUTHORIZED" });
    expect(await failure(device.getTwin())).toMatchObject({ code: "ERR_NOT_CONNECTED" });
    // Handlers are kept for the next attempt.
    await device.onMethod("m", () => {});
  });
});

describe("after close()", () => {
  test("every call is ERR_CLOSED, and iteration is over", async () => {
    const device = await lab.device("closed");
    await device.close();
    await device.close();
    for (const call of [
      device.connect(),
      device.sendTelemetry("x"),
      device.messages(() => {}),
      device.onMethod("m", () => {}),
      device.onDesiredProperties(() => {}),
      device.getTwin(),
      device.updateReportedProperties({ a: 1 }),
    ]) {
      expect(await failure(call)).toMatchObject({ code: "ERR_CLOSED" });
    }
    expect(await device.messages().next()).toMatchObject({ done: true });
    expect(device.errors).toEqual([]);
  });
});

describe("one reader", () => {
  const taken = { code: "ERR_INVALID_ARGUMENT", message: expect.stringContaining("one place") };
  test("a second handler of messages(), or an iteration beside it, is refused", async () => {
    const device = await lab.device("second-reader");
    const seen: string[] = [];
    await device.messages(() => void seen.push("first"));
    expect(await failure(device.messages(() => void seen.push("second")))).toMatchObject(taken);
    expect(() => device.messages()).toThrow(expect.objectContaining(taken));
    const { completion } = await lab.hub.sendToDevice("second-reader", "x");
    await completion;
    expect(seen).toEqual(["first"]);
  });

  test("a handler beside an iteration, until that was left", async () => {
    const device = await lab.device("left-reader");
    const messages = device.messages();
    expect(await failure(device.messages(() => {}))).toMatchObject(taken);
    await messages.return?.();
    await device.messages(() => {});
  });

  test("two reads at once complete both messages", async () => {
    const device = await lab.device("two-reads");
    const messages = device.messages();
    const [one, two] = [messages.next(), messages.next()];
    await next(lab.hub, "subscribed");
    const sent = [await lab.hub.sendToDevice("two-reads", "1"), await lab.hub.sendToDevice("two-reads", "2")];
    expect((await one).done || (await two).done).toBe(false);
    await messages.return?.();
    expect(await Promise.all(sent.map(({ completion }) => completion))).toEqual(["Success", "Success"]);
  });
});

test("a hiccup of the hub, answered by reprovision with the identity that it has: nothing is thrown away", async () => {
  const { connectionString } = lab.hub.createDevice("hiccup");
  let asked = 0;
  const device = lab.client(connectionString, { reprovision: () => (asked++, connectionString) });
  lab.hub.faults.connack = 5;
  expect(await failure(device.connect())).toMatchObject({ code: "ERR_NOT_AUTHORIZED" });
  expect(asked).toBe(1);
  lab.hub.faults.connack = 0;
  await device.connect();
  await device.sendTelemetry("x");
  expect(asked).toBe(1);
});

test.each([undefined, 5n, 1, {}, null, ""])("on(%s) is refused as an event that does not exist", (name) => {
  const device = lab.client("HostName=localhost;DeviceId=d;SharedAccessKey=AAAA");
  expect(() => device.on(name as "error", () => {})).toThrow(
    expect.objectContaining({ name: "HubwireError", code: "ERR_INVALID_ARGUMENT" }),
  );
});

describe("connect() keeps to its timeout, and close() leaves nothing pending,", () => {
  const nobody = `HostName=localhost;DeviceId=nobody;SharedAccessKey=${Buffer.alloc(32).toString("base64")}`;

  test("while a new identity is looked for without end", async () => {
    const device = lab.client(nobody, { reprovision: () => new Promise(() => {}) });
    expect(await failure(device.connect({ timeout: 100 }))).toMatchObject({ code: "ERR_NOT_AUTHORIZED" });
    const pending = [failure(device.connect({ timeout: Infinity })), failure(device.onMethod("m", () => {}))];
    await device.close();
    expect((await Promise.all(pending)).map(({ code }) => code)).toEqual(["ERR_CLOSED", "ERR_CLOSED"]);
  });

  test("which it reads once", async () => {
    let reads = 0;
    const options = {
      get timeout() {
        if (reads++ > 0) throw new Error("read again");
        return 50;
      },
    };
    const device = lab.client(nobody, { port: 1 });
    expect(await failure(device.connect(options))).toMatchObject({ name: "HubwireError", retryable: true });
  });

  test("while the hub grants no subscription", async () => {
    const script = async (connection: PeerConnection): Promise<void> => {
      await connection.packetOfType(1);
      connection.socket.write(bytes("20 02 00 00"));
    };
    const peer = await Peer.listen({ script });
    const device = lab.client(nobody, {
      protocol: "mqtt",
      createConnection: () => createConnection({ port: peer.port, host: "127.0.0.1" }),
    });
    await device.onMethod("m", () => {});
    expect(await failure(device.connect({ timeout: 200 }))).toMatchObject({ code: "ERR_TIMEOUT" });
    expect(device.connected).toBe(true);
    await device.close({ force: true });
    await peer.close();
  });
});

describe("a hub that refuses a subscription", () => {
  /** Accepts, and answers SUBSCRIBE with 0x80 for direct methods. */
  const refusing = (connection: PeerConnection): Promise<void> =>
    (async () => {
      for (;;) {
        const packet = await connection.packet();
        const type = (packet[0] as number) >> 4;
        if (type === 1) connection.socket.write(bytes("20 02 00 00"));
        if (type === 8) {
          const code = packet.includes("$iothub/methods") ? "80" : "00";
          connection.socket.write(bytes(`90 03 ${packet.subarray(2, 4).toString("hex")} ${code}`));
        }
        if (type === 3) connection.socket.write(bytes(`40 02 ${packet.subarray(-3, -1).toString("hex")}`));
      }
    })().catch(() => {});

  let peer: Peer;
  beforeEach(async () => {
    peer = await Peer.listen({ script: refusing });
  });
  afterEach(() => peer.close());
  const device = () =>
    lab.client("HostName=h.example;DeviceId=d;SharedAccessKey=AAAA", {
      protocol: "mqtt",
      createConnection: () => createConnection({ port: peer.port, host: "127.0.0.1" }),
    });

  test("connect() rejects, the error event tells, and the connection stays", async () => {
    const client = device();
    await client.onMethod("m", () => {});
    expect(await failure(client.connect())).toMatchObject({ code: "ERR_SUBSCRIBE_REFUSED" });
    expect(client.connected).toBe(true);
    expect(client.errors.map(({ code }) => code)).toContain("ERR_SUBSCRIBE_REFUSED");
  });

  test("while connected, so does the call itself", async () => {
    const client = device();
    await client.connect();
    expect(await failure(client.onMethod("m", () => {}))).toMatchObject({ code: "ERR_SUBSCRIBE_REFUSED" });
    await client.messages(() => {});
    expect(client.errors.map(({ code }) => code)).toContain("ERR_SUBSCRIBE_REFUSED");
  });
});
