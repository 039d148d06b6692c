/** Faults on demand: for all devices or for one, by a seed. */
import * as tls from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createAuthority, createSelfSigned, HubEmulator, type CreatedIdentity } from "../../src/emulator/index.js";
import { Faults } from "../../src/emulator/faults.js";
import { FakeClock } from "../support/clock.js";
import { soon } from "../support/peer.js";
import { connectPacket, event, RawClient } from "./raw-client.js";

let hub: HubEmulator;
let clock: FakeClock;
let device: CreatedIdentity;
let client: RawClient;
beforeEach(async () => {
  clock = new FakeClock(Date.now());
  hub = await HubEmulator.start({ clock });
  device = hub.createDevice("d1");
  hub.createDevice("d2");
});
afterEach(async () => {
  client?.destroy();
  await hub.close();
});

const connected = async (deviceId = "d1"): Promise<RawClient> => {
  const identity = hub.identities().find((each) => each.deviceId === deviceId) as CreatedIdentity;
  return (client = await RawClient.connected(hub, identity, { keepAlive: 60 }));
};
const publish = (packetId: number) =>
  ({ type: "publish", topic: "devices/d1/messages/events/", payload: "x", qos: 1, packetId }) as const;

describe("settings", () => {
  it("of a device go before those of the hub, and undefined takes them back", () => {
    const own = hub.faultsOf("d1");
    hub.faults.twin = 429;
    own.twin = "silent";
    own.set({ connack: 5, delay: [10, 20] });
    expect([own.twin, own.connack, own.delay, own.pingresp]).toEqual(["silent", 5, [10, 20], true]);
    expect([hub.faults.twin, hub.faults.connack, hub.faultsOf("d2").twin]).toEqual([429, 0, 429]);
    own.twin = undefined;
    expect(own.twin).toBe(429);
    expect(own.settings()).toEqual({ connack: 5, delay: [10, 20] });
    own.clear();
    expect(own.settings()).toEqual({});
    hub.faults.clear();
    expect(hub.faults.twin).toBeUndefined();
  });

  it.each([
    [{ conack: 5 }, /no fault conack; there are: connack/],
    [{ connack: "no" }, /connack must be/],
    [{ connack: 256 }, /connack must be/],
    [{ closeAfter: -1 }, /closeAfter must be/],
    [{ delay: [1] }, /delay must be/],
    [{ delay: Infinity }, /delay must be/],
    [{ rate: 2 }, /rate must be/],
    [{ twin: 5 }, /twin must be/],
    [{ puback: "later" }, /puback must be/],
    [{ stall: 1 }, /stall must be/],
    [{ clockOffset: NaN }, /clockOffset must be/],
    [{ __proto__: 1, toString: 1 }, /no fault toString/],
  ])("are checked, and none is made of %j", (settings, rule) => {
    expect(() => hub.faults.set({ pingresp: false, ...settings } as never)).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARGUMENT", message: expect.stringMatching(rule) }),
    );
    expect(hub.faults.settings()).toEqual({});
  });

  it("strike the same occasions with the same seed, and as many as `rate` says", () => {
    const struck = (seed: number): string => {
      const faults = new Faults(() => {});
      faults.set({ twin: 500, rate: 0.25, seed });
      return Array.from({ length: 1000 }, () => (faults.strike("twin") === undefined ? "-" : "x")).join("");
    };
    expect(struck(7)).toBe(struck(7));
    expect(struck(7)).not.toBe(struck(8));
    const count = struck(7).replaceAll("-", "").length;
    expect(count).toBeGreaterThan(200);
    expect(count).toBeLessThan(300);
  });
});

describe("connack", () => {
  it("refuses one device and lets the others in", async () => {
    hub.faultsOf("d1").connack = 5;
    client = await RawClient.open(hub);
    client.send(connectPacket(device));
    expect(await client.next()).toMatchObject({ type: "connack", returnCode: 5 });
    await connected("d2");
  });
});

describe("closeAfter", () => {
  it("breaks the connection over the nth packet, which counts, and whose answer is lost", async () => {
    hub.faultsOf("d1").closeAfter = 3;
    const delivered: number[] = [];
    hub.on("telemetry", () => delivered.push(1));
    await connected();
    const gone = event(hub, "disconnected");
    client.send(publish(1), publish(2), publish(3));
    expect(await client.next()).toEqual({ type: "puback", packetId: 1 });
    expect(await client.next()).toBe("closed");
    expect(await gone).toMatchObject({ reason: "fault" });
    expect(delivered).toHaveLength(2);
  });
});

describe("stall", () => {
  it("reads nothing, lets nobody be called silent, and goes on where it stood", async () => {
    const stalled = await connected();
    hub.faultsOf("d1").stall = true;
    const delivered: number[] = [];
    hub.on("telemetry", () => delivered.push(1));
    stalled.send(publish(1));
    // Another device's round trips, by which the first one's packet would have been handled.
    const other = await connected("d2");
    for (let count = 0; count < 5; count++) expect(await other.nothingElse()).toBe(true);
    clock.advance(10 * 60_000);
    expect(hub.isConnected("d1")).toBe(true);
    expect(delivered).toEqual([]);
    hub.faultsOf("d1").stall = false;
    expect(await stalled.next()).toEqual({ type: "puback", packetId: 1 });
    stalled.destroy();
  });
});

describe("delay", () => {
  it("keeps answers back and their order", async () => {
    await connected();
    const faults = hub.faultsOf("d1");
    faults.delay = 500;
    client.send(publish(1));
    const told = event(hub, "telemetry");
    await told;
    faults.delay = 0;
    const second = event(hub, "telemetry");
    client.send(publish(2));
    await second;
    clock.advance(499);
    clock.advance(1);
    expect(await client.next()).toEqual({ type: "puback", packetId: 1 });
    expect(await client.next()).toEqual({ type: "puback", packetId: 2 });
  });

  it("is drawn from a range by the seed", async () => {
    await connected();
    hub.faultsOf("d1").set({ delay: [1000, 2000], seed: 3 });
    const told = event(hub, "telemetry");
    client.send(publish(1));
    await told;
    await new Promise((resolve) => setImmediate(resolve));
    const due = clock.delays.at(-1) as number;
    expect(due).toBeGreaterThanOrEqual(1000);
    expect(due).toBeLessThan(2000);
    clock.advance(2000);
    expect(await client.next()).toEqual({ type: "puback", packetId: 1 });
  });
});

describe("corrupt", () => {
  it("turns over exactly one bit of what is written, the same one with the same seed", async () => {
    const seen: string[] = [];
    for (let run = 0; run < 2; run++) {
      const raw = await connected();
      hub.faultsOf("d1").set({ corrupt: true, seed: 11 });
      raw.socket.removeAllListeners("data");
      const chunk = soon(new Promise<Buffer>((resolve) => raw.socket.once("data", resolve)), "the bytes");
      raw.send(publish(1));
      seen.push((await chunk).toString("hex"));
      hub.faultsOf("d1").clear();
      raw.destroy();
    }
    expect(seen[0]).toBe(seen[1]);
    const right = Buffer.from("40020001", "hex");
    const difference = [...Buffer.from(seen[0] as string, "hex")].map((byte, index) => byte ^ (right[index] as number));
    const bits = difference.map((byte) => byte.toString(2).replaceAll("0", "").length);
    expect(bits.reduce((sum, count) => sum + count)).toBe(1);
  });
});

describe("halfOpen", () => {
  it("takes and sends nothing and does not close, until the hub finds the device silent; then it is over", async () => {
    await connected();
    const delivered: number[] = [];
    hub.on("telemetry", () => delivered.push(1));
    hub.faultsOf("d1").halfOpen = true;
    const first = client;
    first.send(publish(1));
    expect(await (await connected("d2")).nothingElse()).toBe(true);
    clock.advance(89_999);
    expect(hub.isConnected("d1")).toBe(true);
    const gone = event(hub, "disconnected");
    clock.advance(1);
    expect(await gone).toMatchObject({ deviceId: "d1", reason: "keep-alive" });
    expect(delivered).toEqual([]);
    first.destroy();
  });

  it("ends with a reset once the fault is over and the device speaks", async () => {
    await connected();
    hub.faultsOf("d1").halfOpen = true;
    clock.advance(90_000);
    hub.faultsOf("d1").halfOpen = false;
    client.send(publish(1));
    expect(await client.next()).toBe("closed");
  });
});

describe("puback, pingresp, methodResponses and twin", () => {
  it("are of one device, too", async () => {
    hub.faultsOf("d1").set({ puback: "hold", pingresp: false, twin: 503 });
    await connected();
    await client.subscribe("$iothub/twin/res/#");
    client.send(publish(1), { type: "pingreq" }, { type: "publish", topic: "$iothub/twin/GET/?$rid=1" });
    expect(await client.next()).toMatchObject({ type: "publish", topic: "$iothub/twin/res/503/?$rid=1" });
    hub.faultsOf("d1").puback = "send";
    expect(await client.next()).toEqual({ type: "puback", packetId: 1 });
  });
});

describe("clockOffset", () => {
  it("makes the hub's clock run ahead of a token, or behind it", async () => {
    const expiry = Math.floor(clock.wallTime() / 1000) + 60;
    hub.faultsOf("d1").clockOffset = 10 * 60_000;
    client = await RawClient.open(hub);
    client.send(connectPacket(device, { expiry }));
    expect(await client.next()).toMatchObject({ returnCode: 5 });
    hub.faultsOf("d1").clockOffset = 0;
    client = await RawClient.connected(hub, device, { expiry });
  });
});

describe("useCertificate", () => {
  const handshake = (options: tls.ConnectionOptions = {}): Promise<string> =>
    new Promise((resolve) => {
      const socket = tls.connect({ host: "127.0.0.1", servername: "localhost", port: hub.port, ...options });
      socket.once("secureConnect", () => (socket.destroy(), resolve("fine")));
      socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    });

  it("shows another certificate to who connects from now on, and the first one again", async () => {
    await connected();
    const ca = hub.caCertificate;
    expect(await handshake({ ca })).toBe("fine");
    hub.useCertificate(createSelfSigned({ dnsNames: ["localhost"] }));
    expect(await handshake({ ca })).toBe("DEPTH_ZERO_SELF_SIGNED_CERT");
    const other = createAuthority().issue({ dnsNames: ["elsewhere"] });
    hub.useCertificate({ certificate: other.chain, key: other.key });
    expect(await handshake({ ca })).toMatch(/^UNABLE_TO_/);
    hub.useCertificate();
    expect(await handshake({ ca })).toBe("fine");
    expect(await client.nothingElse()).toBe(true);
    expect(() => hub.useCertificate({ certificate: "x", key: "y" })).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }),
    );
  });
});
