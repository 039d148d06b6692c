/** What is on its way out of a connection: how it is cut, what waits, and what its owner hears of that. */
import { Duplex } from "node:stream";
import { describe, expect, test } from "vitest";
import { Output, type OutputFraming } from "../../src/transport/output.js";

const KIB = 1024;
const SLICE = 64 * KIB;
const HIGH_WATER = 256 * KIB;

/** A network that takes what it is given at once, or, stalled, one write each time it is told to. */
class Line extends Duplex {
  /** Sizes of the chunks of each write. */
  readonly writes: number[][] = [];
  readonly bytes: Uint8Array[] = [];
  isStalled = false;
  isFinished = false;
  #taken: ((error?: Error) => void) | undefined;

  override _read(): void {}

  override _write(chunk: Uint8Array, _encoding: string, taken: (error?: Error) => void): void {
    this.#note([chunk], taken);
  }

  override _writev(chunks: { chunk: Uint8Array }[], taken: (error?: Error) => void): void {
    this.#note(
      chunks.map(({ chunk }) => chunk),
      taken,
    );
  }

  override _final(done: () => void): void {
    this.isFinished = true;
    done();
  }

  #note(chunks: Uint8Array[], taken: (error?: Error) => void): void {
    this.writes.push(chunks.map(({ length }) => length));
    this.bytes.push(...chunks);
    if (this.isStalled) this.#taken = taken;
    else taken();
  }

  /** The network takes the write that it was given. */
  async takeOne(): Promise<void> {
    const taken = this.#taken;
    this.#taken = undefined;
    taken?.();
    await turn();
  }

  /** The write that it was given fails, and what is behind it. */
  fail(error: Error): void {
    this.#taken?.(error);
  }

  /** It goes on until nothing is left. */
  async flow(): Promise<void> {
    this.isStalled = false;
    await this.takeOne();
    for (let i = 0; i < 200; i++) await turn();
  }

  get content(): Buffer {
    return Buffer.concat(this.bytes);
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function scene(framing?: OutputFraming) {
  const line = new Line();
  const heard: string[] = [];
  line.on("error", (error) => heard.push(error.message));
  const events = { progress: () => heard.push("progress"), writable: () => heard.push("writable") };
  const output = new Output(line, events, framing);
  return { line, output, heard, took: () => heard.splice(0) };
}

/** Bytes that tell where they are from. */
const pattern = (length: number, seed = 0): Uint8Array =>
  Uint8Array.from({ length }, (_, at) => (at * 7 + (at >> 8) + seed) & 0xff);

describe("while little waits", () => {
  test("what one call brings leaves as one write, whole, and is no sign of life", async () => {
    const { line, output, took } = scene();
    expect(output.write([pattern(3), pattern(4, 1), pattern(5, 2)])).toBe(true);
    expect(line.writes).toEqual([[3, 4, 5]]);
    expect(output.write([pattern(6)])).toBe(true);
    expect(output.write([])).toBe(true);
    await turn();
    expect(line.writes).toEqual([[3, 4, 5], [6]]);
    expect(line.destroyed).toBe(false);
    expect(took()).toEqual([]);
  });

  test.each([
    ["less than a slice", [SLICE - 1], 0],
    ["a slice", [SLICE], 1],
    ["a slice in parts", [SLICE - 1, 1], 1],
    ["nearly too much", [HIGH_WATER - 1], 1],
  ])("that %s has left is told as it should", async (_what, sizes, count) => {
    const { line, output, heard } = scene();
    expect(output.write(sizes.map((size) => pattern(size)))).toBe(true);
    await turn();
    expect(line.writes).toEqual([sizes]);
    expect(heard).toEqual(Array.from({ length: count }, () => "progress"));
  });

  test("with what the stream holds it may be much", async () => {
    const { line, output, heard } = scene();
    line.isStalled = true;
    output.write([pattern(SLICE - 10)]);
    expect(output.write([pattern(9)])).toBe(true);
    expect(output.write([pattern(1)])).toBe(true);
    await line.flow();
    expect(line.writes).toEqual([[SLICE - 10], [9, 1]]);
    expect(heard).toEqual(["progress"]);
  });
});

describe("when much waits", () => {
  test("it leaves in slices, one ahead of the network, not a byte changed or out of order", async () => {
    const { line, output, heard } = scene();
    line.isStalled = true;
    const chunks = [pattern(10), pattern(0), pattern(SLICE, 1), pattern(3 * SLICE + 5, 2), pattern(SLICE - 20, 3)];
    const copies = chunks.map((chunk) => chunk.slice());
    expect(output.write(chunks)).toBe(false);
    expect(line.writableLength).toBe(2 * SLICE);
    expect(output.write([pattern(7, 4)])).toBe(false);
    let left = 5 * SLICE - 5 + 7;
    for (; left > 0; left -= SLICE) {
      expect(line.writableLength).toBe(Math.min(left, 2 * SLICE));
      await line.takeOne();
    }
    expect(line.content.equals(Buffer.concat([...copies, pattern(7, 4)]))).toBe(true);
    expect(heard.filter((event) => event === "progress")).toHaveLength(6);
    expect(heard.filter((event) => event === "writable")).toHaveLength(1);
    for (const write of line.writes) expect(write.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(SLICE);
  });

  test("each slice that has left is a sign of life, and room is told once, behind the last", async () => {
    const { line, output, heard } = scene();
    for (const seed of [0, 1]) {
      expect(output.write([pattern(HIGH_WATER, seed)])).toBe(false);
      await line.flow();
      expect(heard.splice(0).sort()).toEqual(["progress", "progress", "progress", "progress", "writable"]);
    }
    expect(line.content.equals(Buffer.concat([pattern(HIGH_WATER), pattern(HIGH_WATER, 1)]))).toBe(true);
    expect(output.write([pattern(1)])).toBe(true);
    await turn();
    expect(heard, "nobody was held back").toEqual([]);
  });

  test("room is told when nothing waits any more, not before", async () => {
    const { line, output, heard } = scene();
    line.isStalled = true;
    expect(output.write([pattern(HIGH_WATER)])).toBe(false);
    await line.takeOne();
    expect(heard).toEqual(["progress"]);
    await line.takeOne();
    expect(heard).toEqual(["progress", "progress", "writable"]);
    expect(line.writableLength).toBe(2 * SLICE);
  });

  test("a little that would make it too much is held back too, and goes on", async () => {
    const { line, output, heard } = scene();
    line.isStalled = true;
    expect(output.write([pattern(HIGH_WATER - 1)])).toBe(true);
    expect(output.write([pattern(1, 1)])).toBe(false);
    await line.flow();
    expect(line.writes).toEqual([[HIGH_WATER - 1], [1]]);
    expect(heard.sort()).toEqual(["progress", "progress", "writable"]);
  });

  test("many small chunks are joined to slices", async () => {
    const { line, output } = scene();
    line.isStalled = true;
    const chunks = Array.from({ length: 5_000 }, (_, at) => pattern(100, at));
    expect(output.write(chunks)).toBe(false);
    await line.flow();
    expect(line.content.equals(Buffer.concat(chunks))).toBe(true);
    expect(line.writes.length).toBeLessThanOrEqual(Math.ceil(500_000 / SLICE));
  });
});

describe("a frame between others", () => {
  test("leaves at once while there is room, and is no sign of life", async () => {
    const { line, output, heard } = scene();
    line.isStalled = true;
    output.write([pattern(HIGH_WATER - 5)]);
    output.control(pattern(2));
    output.control(pattern(3));
    await line.flow();
    expect(line.writes).toEqual([[HIGH_WATER - 5], [2, 3]]);
    expect(heard).toEqual(["progress"]);
  });

  test("while much waits, of several the newest leaves, with the next slice", async () => {
    const { line, output } = scene();
    line.isStalled = true;
    output.write([pattern(HIGH_WATER - 1)]);
    output.write([pattern(1)]);
    output.control(pattern(2));
    output.control(pattern(3));
    expect(line.writableLength).toBe(HIGH_WATER);
    await line.flow();
    expect(line.writes.flat()).toEqual([HIGH_WATER - 1, 1, 3]);
  });

  test("leaves although the stream is full, where no slice is on its way that would take it along", async () => {
    const { line, output, heard } = scene();
    line.isStalled = true;
    output.write([pattern(HIGH_WATER - 1)]);
    output.control(pattern(1));
    expect(line.writableLength).toBe(HIGH_WATER);
    output.control(pattern(2));
    output.control(pattern(3));
    output.control(pattern(4));
    expect(line.writableLength).toBe(HIGH_WATER + 2);
    await line.flow();
    expect(line.writes.flat()).toEqual([HIGH_WATER - 1, 1, 2, 4]);
    expect(heard).toEqual(["progress", "progress"]);
  });
});

describe("the end", () => {
  test("is the stream's, when all has left", async () => {
    const { line, output } = scene();
    let isDone = false;
    output.write([pattern(3)]);
    output.end(() => (isDone = true));
    await turn();
    expect([line.isFinished, isDone, line.writes]).toEqual([true, true, [[3]]]);
  });

  test("waits for what waits", async () => {
    const { line, output } = scene();
    line.isStalled = true;
    let isDone = false;
    output.write([pattern(HIGH_WATER + 1)]);
    output.end(() => (isDone = true));
    await line.takeOne();
    expect([line.writableEnded, isDone]).toEqual([false, false]);
    await line.flow();
    expect([line.isFinished, isDone, line.content.length]).toEqual([true, true, HIGH_WATER + 1]);
  });

  test("framed, is a last frame, and the stream's end is left to the other side", async () => {
    const framing: OutputFraming = {
      wrap: (chunks) => [Buffer.from("<"), ...(chunks as Uint8Array[]), Buffer.from(">")],
      goodbye: () => Buffer.from("bye"),
    };
    const { line, output } = scene(framing);
    let isDone = false;
    output.write([Buffer.from("a"), Buffer.from("b")]);
    output.end(() => (isDone = true));
    await turn();
    expect([line.content.toString(), isDone, line.writableEnded]).toEqual(["<ab>bye", true, false]);
    expect(line.writes[0]).toEqual([1, 1, 1, 1]);
  });
});

describe("a stream that fails", () => {
  test.each([SLICE, HIGH_WATER])("tells of no progress, nor of room (%d bytes)", async (size) => {
    const { line, output, heard } = scene();
    line.isStalled = true;
    output.write([pattern(size)]);
    line.fail(new Error("cut"));
    for (let i = 0; i < 5; i++) await turn();
    expect(heard).toEqual(["cut"]);
  });

  test.each(["write", "end"] as const)("by throwing in %s, is destroyed with what it threw", async (name) => {
    const { line, output, heard } = scene();
    line[name] = () => {
      throw new Error("no");
    };
    if (name === "write") expect(output.write([pattern(1)])).toBe(true);
    else output.end(() => {});
    await turn();
    expect([line.destroyed, heard]).toEqual([true, ["no"]]);
  });
});
