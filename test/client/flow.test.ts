/** Bytes between the session and a connection: when they leave, and when nothing is read. */
import { Duplex } from "node:stream";
import { describe, expect, test } from "vitest";
import { Flow } from "../../src/client/flow.js";
import { Connection, TlsSessions } from "../../src/transport/connection.js";
import { FakeClock } from "../support/clock.js";

const KIB = 1024;

/** The network: takes what is written unless it is told to wait. */
class Line extends Duplex {
  readonly writes: number[] = [];
  isStalled = false;
  #taken: (() => void) | undefined;

  constructor() {
    super({ allowHalfOpen: true });
  }

  override _read(): void {}

  override _write(chunk: Uint8Array, _encoding: string, taken: () => void): void {
    this.#note(chunk.length, taken);
  }

  override _writev(chunks: { chunk: Uint8Array }[], taken: () => void): void {
    this.#note(
      chunks.reduce((sum, { chunk }) => sum + chunk.length, 0),
      taken,
    );
  }

  #note(bytes: number, taken: () => void): void {
    this.writes.push(bytes);
    if (this.isStalled) this.#taken = taken;
    else taken();
  }

  /** The network goes on. */
  flowOn(): void {
    this.isStalled = false;
    this.#taken?.();
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function scene(isAttached = true) {
  const log: string[] = [];
  const clock = new FakeClock();
  const state = { load: 0, output: [] as Uint8Array[], outputBytes: 0 };
  const session = {
    get outputBytes() {
      return state.outputBytes;
    },
    hasMore: false,
    takeOutput: () => state.output.splice(0),
    wrote: (bytes: number) => void log.push(`wrote ${bytes}`),
    writable: (ready: boolean, now: number) => void log.push(`writable ${ready} ${now}`),
    reading: (on: boolean, now: number) => void log.push(`reading ${on} ${now}`),
    progressed: (now: number) => void log.push(`progressed ${now}`),
  };
  const flow: Flow = new Flow(session, clock, { load: () => state.load, flush: () => flow.flush() });
  const dialled = async () => {
    const line = new Line();
    let opened = (): void => {};
    const isOpen = new Promise<void>((resolve) => (opened = resolve));
    const connection = new Connection(
      { host: "h", port: 1, protocol: "mqtt", createConnection: () => line },
      {
        opened,
        received: ({ length }) => (log.push(`received ${length}`), flow.received(length)),
        writable: () => flow.writable(),
        progress: () => {},
        flushed: () => log.push("flushed"),
        closed: () => {},
      },
      new TlsSessions(),
    );
    connection.open();
    await isOpen;
    return { line, connection };
  };
  const first = await dialled();
  if (isAttached) flow.attach(first.connection);
  const output = (...sizes: number[]): void => void state.output.push(...sizes.map((size) => new Uint8Array(size)));
  return { ...first, dialled, flow, clock, state, output, took: () => log.splice(0) };
}

test("without a connection nothing is full, paused or looked at, and there is nothing to end", async () => {
  const { flow, state, output, took } = await scene(false);
  expect(flow.isPaused).toBe(false);
  state.load = 9;
  output(1);
  flow.flush();
  flow.feel();
  flow.look();
  flow.writable();
  flow.end();
  flow.detach();
  expect(took()).toEqual([]);
  expect(state.output).toHaveLength(1);
});

describe("out", () => {
  test("what one turn brings leaves as one write at its end, at the time of its beginning", async () => {
    const { flow, line, output, took, clock } = await scene();
    output(3);
    flow.wantsWrite();
    const began = flow.now;
    clock.advance(50);
    output(4);
    flow.wantsWrite();
    await Promise.resolve();
    expect(line.writes).toEqual([]);
    expect(flow.now).toBe(began);
    await turn();
    expect(line.writes).toEqual([7]);
    expect(took()).toEqual(["wrote 7"]);
    expect(flow.bytesSent).toBe(7);
    expect(flow.now).toBe(began + 50);
    output(1);
    flow.wantsWrite();
    await turn();
    expect(line.writes).toEqual([7, 1]);
    await turn();
    expect(took(), "and with nothing to write, nothing is").toEqual(["wrote 1"]);
  });

  test("more than 64 KiB of messages leave at once", async () => {
    const { flow, line, output } = await scene();
    output(5);
    flow.accepted(40 * KIB);
    flow.accepted(24 * KIB);
    expect(line.writes).toEqual([]);
    flow.accepted(1);
    expect(line.writes).toEqual([5]);
    output(6);
    flow.accepted(64 * KIB);
    expect(line.writes).toEqual([5]);
  });

  test("nothing is taken from the session without a connection, nor while it takes no more", async () => {
    const { flow, line, output, state, took, clock } = await scene();
    line.isStalled = true;
    output(300 * KIB);
    flow.flush();
    const now = clock.now();
    expect(took()).toEqual([`wrote ${300 * KIB}`, `writable false ${now}`]);
    output(9);
    flow.flush();
    expect(state.output).toHaveLength(1);
    line.flowOn();
    await turn();
    expect(took()).toEqual([`writable true ${now}`, "wrote 9"]);
    flow.writable();
    expect(took(), "only one that was full tells of room").toEqual([]);
    flow.detach();
    expect(line.destroyed).toBe(true);
    output(9);
    flow.flush();
    expect(state.output).toHaveLength(1);
  });

  test("a connection that was full is no trouble of the next one's", async () => {
    for (const leave of ["detach", "attach"] as const) {
      const { flow, line, output, state, dialled } = await scene();
      line.isStalled = true;
      output(300 * KIB);
      state.load = 1;
      flow.flush();
      flow.feel();
      expect(flow.isPaused).toBe(true);
      const next = await dialled();
      if (leave === "detach") flow.detach();
      if (leave === "detach") expect(flow.isPaused).toBe(false);
      flow.attach(next.connection);
      expect(flow.isPaused).toBe(false);
      output(2);
      flow.flush();
      expect(next.line.writes).toEqual([2]);
    }
  });

  test("at the end what is left is written whatever the socket says, and reading goes on", async () => {
    const { flow, line, output, state, took } = await scene();
    line.isStalled = true;
    output(300 * KIB);
    flow.flush();
    state.load = 1;
    flow.feel();
    output(2);
    took();
    flow.end();
    expect(took()).toEqual(["wrote 2", expect.stringMatching(/^writable false/)]);
    expect(flow.isPaused).toBe(false);
    line.push(new Uint8Array(4));
    await turn();
    expect(took()).toEqual(["received 4"]);
    line.flowOn();
    await turn();
    expect(line.writableEnded).toBe(true);
  });
});

describe("in", () => {
  test("nothing is read from full to half full", async () => {
    const { flow, line, state, took, clock } = await scene();
    const now = clock.now();
    state.load = 0.99;
    flow.feel();
    expect(flow.isPaused).toBe(false);
    state.load = 1;
    flow.feel();
    flow.feel();
    expect(flow.isPaused).toBe(true);
    expect(took()).toEqual([`reading false ${now}`]);
    line.push(new Uint8Array(4));
    await turn();
    state.load = 0.5;
    flow.feel();
    expect(took()).toEqual([]);
    state.load = 0.49;
    flow.feel();
    expect(took()).toEqual([`reading true ${now}`, "received 4"]);
    expect(flow.bytesReceived).toBe(4);
    flow.detach();
    state.load = 1;
    flow.feel();
    expect(took()).toEqual([]);
  });

  test("nor while over 256 KiB of answers wait for a peer that does not read; it is not looked at either", async () => {
    const { flow, line, output, state, took, clock } = await scene();
    const now = clock.now();
    state.outputBytes = 256 * KIB + 1;
    flow.feel();
    expect(flow.isPaused, "it takes what is written").toBe(false);
    line.isStalled = true;
    output(300 * KIB);
    flow.flush();
    took();
    state.outputBytes = 256 * KIB;
    flow.feel();
    expect(flow.isPaused).toBe(false);
    state.outputBytes++;
    flow.feel();
    flow.look();
    line.push(new Uint8Array(4));
    await turn();
    expect(took()).toEqual([`reading false ${now}`]);
    state.outputBytes = 0;
    line.flowOn();
    await turn();
    expect(took()).toEqual([`writable true ${now}`, `reading true ${now}`, "received 4"]);
  });

  test("a look takes in what is there and one chunk, and no more", async () => {
    const { flow, line, state, took } = await scene();
    flow.look();
    expect(flow.isPaused).toBe(false);
    state.load = 1;
    flow.feel();
    took();
    line.push(new Uint8Array(1));
    await turn();
    flow.look();
    expect(took()).toEqual(["received 1"]);
    await turn();
    line.push(new Uint8Array(2));
    await turn();
    expect(took(), "one was there").toEqual([]);
    flow.look();
    await turn();
    expect(took()).toEqual(["received 2"]);
    flow.look();
    flow.look();
    line.push(new Uint8Array(3));
    await turn();
    line.push(new Uint8Array(4));
    await turn();
    expect(took()).toEqual(["received 3"]);
  });

  test("that reading goes on for good is not undone by the end of a look", async () => {
    const { flow, line, state, took } = await scene();
    state.load = 1;
    flow.feel();
    flow.look();
    line.push(new Uint8Array(1));
    line.once("data", () => {
      state.load = 0;
      flow.feel();
    });
    await turn();
    line.push(new Uint8Array(2));
    await turn();
    expect(took().filter((line) => line.startsWith("received"))).toEqual(["received 1", "received 2"]);
  });

  test("looks that brought the bound once more end: the peer counts as alive, until there was room", async () => {
    const { flow, state, took, clock } = await scene();
    const now = clock.now();
    state.load = 1.5;
    flow.feel();
    flow.look();
    flow.received(1);
    await turn();
    state.load = 2.4;
    flow.feel();
    flow.look();
    flow.received(1);
    await turn();
    took();
    state.load = 2.5;
    flow.feel();
    flow.look();
    expect(took()).toEqual([`progressed ${now}`]);
    state.load = 0.4;
    flow.feel();
    state.load = 3;
    flow.feel();
    took();
    flow.look();
    expect(took()).toEqual([]);
  });
});
