/** Cloud-to-device messages and module inputs. */
import { describe, expect, test } from "vitest";
import type { HubMessage } from "../../src/hub/index.js";
import { laboratory, next, until } from "./lab.js";

const lab = laboratory();
const body = (message: HubMessage | undefined): string => Buffer.from(message?.payload ?? []).toString();

describe("cloud to device", () => {
  test("arrives with all it has", async () => {
    const device = await lab.device("c2d");
    const arrived = new Promise<HubMessage>((resolve) => void device.messages(resolve));
    await lab.hub.sendToDevice("c2d", "öpen", {
      properties: { door: "näher", none: null },
      messageId: "m1",
      correlationId: "c1",
      userId: "u1",
      contentType: "text/plain",
      contentEncoding: "utf-8",
      ack: "full",
    });
    const message = await arrived;
    expect(body(message)).toBe("öpen");
    expect(message).toMatchObject({
      messageId: "m1",
      correlationId: "c1",
      userId: "u1",
      contentType: "text/plain",
      ack: "full",
    });
    expect(message).not.toHaveProperty("inputName");
    expect(message).toMatchObject({ contentEncoding: "utf-8", qos: 1, dup: false, to: expect.stringContaining("c2d") });
    expect([...message.properties]).toEqual([
      ["door", "näher"],
      ["none", null],
    ]);
  });

  test("is completed when the handler's promise has resolved, not before", async () => {
    const device = await lab.device("complete");
    let finish!: () => void;
    let started = false;
    await device.messages(() => {
      started = true;
      return new Promise<void>((resolve) => (finish = resolve));
    });
    const { completion } = await lab.hub.sendToDevice("complete", "x");
    await until(() => started, "the handler to be called");
    expect(lab.hub.pendingMessages("complete")).toBe(1);
    finish();
    expect(await completion).toBe("Success");
    expect(lab.hub.pendingMessages("complete")).toBe(0);
  });

  test("comes again, marked, when the handler failed", async () => {
    const device = await lab.device("again");
    const seen: boolean[] = [];
    await device.messages(async ({ dup }) => {
      seen.push(dup);
      if (seen.length === 1) throw new Error("not now");
    });
    const { completion } = await lab.hub.sendToDevice("again", "x");
    await until(() => device.errors.length > 0, "the error event");
    expect(device.errors[0]).toMatchObject({ code: "ERR_HANDLER" });
    lab.hub.disconnectDevice("again");
    expect(await completion).toBe("Success");
    expect(seen).toEqual([false, true]);
  });

  test("waits for a device that is away, and for a program that asks late", async () => {
    const first = await lab.device("away");
    await first.messages(() => {});
    await first.close();
    const { completion } = await lab.hub.sendToDevice("away", "while away");
    const second = lab.client(lab.hub.connectionString("away"));
    await second.connect();
    // The session's subscription is there from the start: the message may arrive before anybody takes it.
    await second.sendTelemetry("a round trip");
    const seen: string[] = [];
    await second.messages((message) => void seen.push(body(message)));
    expect(await completion).toBe("Success");
    expect(seen).toEqual(["while away"]);
  });

  test("one that nobody has taken is not completed by close()", async () => {
    const first = await lab.device("untaken");
    await first.messages(() => {});
    await first.close();
    await lab.hub.sendToDevice("untaken", "x");
    const second = lab.client(lab.hub.connectionString("untaken"));
    const messages = second.messages();
    await second.connect();
    await second.sendTelemetry("a round trip");
    // The connection stays up a while, for what is in flight.
    lab.hub.faults.puback = "hold";
    const sending = second.sendTelemetry("in flight");
    const arrived = next(lab.hub, "telemetry");
    const closing = second.close();
    await arrived;
    lab.hub.faults.puback = "send";
    await Promise.all([sending, closing]);
    expect((await messages.next()).done).toBe(true);
    expect(lab.hub.pendingMessages("untaken")).toBe(1);
  });

  test("by iteration: completed when the next is asked for, or the loop is left", async () => {
    const device = await lab.device("iterate");
    const messages = device.messages();
    const first = messages.next();
    await next(lab.hub, "subscribed");
    const completions = [];
    for (const text of ["1", "2", "3"]) completions.push((await lab.hub.sendToDevice("iterate", text)).completion);
    expect(body((await first).value as HubMessage)).toBe("1");
    expect(lab.hub.pendingMessages("iterate")).toBe(3);
    for await (const message of messages) {
      if (body(message) === "3") break;
    }
    expect(await Promise.all(completions)).toEqual(["Success", "Success", "Success"]);
    expect((await messages.next()).done).toBe(true);
  });

  test("iteration ends with close()", async () => {
    const device = await lab.device("iterate-close");
    const messages = device.messages();
    const waiting = [messages.next(), messages.next()];
    await device.close();
    expect((await Promise.all(waiting)).map(({ done }) => done)).toEqual([true, true]);
  });

  test("messages that wait in an iterator when the connection breaks are not seen twice", async () => {
    const device = await lab.device("iterate-break");
    const messages = device.messages();
    await next(lab.hub, "subscribed");
    await lab.hub.sendToDevice("iterate-break", "once");
    await device.sendTelemetry("a round trip");
    lab.hub.disconnectDevice("iterate-break");
    await next(device, "connect");
    await device.sendTelemetry("another");
    await lab.hub.sendToDevice("iterate-break", "end");
    const seen: string[] = [];
    for await (const message of messages) {
      seen.push(body(message));
      if (body(message) === "end") break;
    }
    expect(seen).toEqual(["once", "end"]);
  });
});

describe("a module", () => {
  test("sends to outputs and receives from inputs", async () => {
    lab.hub.createDevice("gateway");
    const { connectionString } = lab.hub.createModule("gateway", "filter");
    const module = lab.client(connectionString);
    const seen: string[] = [];
    const note = (handler: string) => (message: HubMessage) =>
      void seen.push(`${handler} ${message.inputName} ${body(message)}`);
    void module.onInput("in1", note("in1"));
    void module.messages(note("any"));
    await module.connect();
    expect([module.deviceId, module.moduleId, module.hostName]).toEqual(["gateway", "filter", "localhost"]);
    await module.onInput("in2", note("in2"));
    const completions = [];
    for (const inputName of ["in1", "in2", "in3"]) {
      const sent = await lab.hub.sendToDevice("gateway", `to ${inputName}`, { moduleId: "filter", inputName });
      completions.push(sent.completion);
    }
    await Promise.all(completions);
    expect(seen).toEqual(["in1 in1 to in1", "in2 in2 to in2", "any in3 to in3"]);
    const arrived = next(lab.hub, "telemetry");
    await module.sendToOutput("out1", "x", { messageId: "m" });
    expect(await arrived).toMatchObject({
      deviceId: "gateway",
      moduleId: "filter",
      systemProperties: { outputName: "out1", messageId: "m" },
    });
  });

  test("a message to an input that nobody handles is dropped aloud, and blocks no other", async () => {
    lab.hub.createDevice("gateway2");
    const { connectionString } = lab.hub.createModule("gateway2", "filter");
    const module = lab.client(connectionString);
    await module.connect();
    const seen: string[] = [];
    await module.onInput("in1", (message) => void seen.push(body(message)));
    const { completion } = await lab.hub.sendToDevice("gateway2", "x", { moduleId: "filter", inputName: "other" });
    await completion;
    const second = await lab.hub.sendToDevice("gateway2", "y", { moduleId: "filter", inputName: "in1" });
    await second.completion;
    expect(seen).toEqual(["y"]);
    expect(module.errors).toMatchObject([{ code: "ERR_HANDLER", message: expect.stringContaining('"other"') }]);
  });
});
