/** Helpers of the codec's tests. */
import { expect } from "vitest";
import {
  Decoder,
  HubwireError,
  PacketReader,
  checkPacket,
  checkPublish,
  encode as encodeOnly,
  type DecoderOptions,
  type ErrorCode,
  type Packet,
  type PacketInit,
} from "../../src/codec/index.js";
import { publishSize } from "../../src/codec/check.js";

/** Bytes from hexadecimal digits; white space is for the reader. */
export function hex(digits: string): Uint8Array {
  const pairs = digits.replace(/\s+/g, "").match(/../g) ?? [];
  return Uint8Array.from(pairs, (pair) => Number.parseInt(pair, 16));
}

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}

export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0));
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** The error that `action` throws; anything but a HubwireError, or nothing, fails the test. */
export function refusal(action: () => unknown): HubwireError {
  try {
    action();
  } catch (error) {
    if (error instanceof HubwireError) return error;
    throw new Error("something else than a HubwireError was thrown", { cause: error });
  }
  throw new Error("nothing was thrown");
}

/** What `action` comes to: its value, or all that there is to know of its error. */
function result<T>(action: () => T): T | (Pick<HubwireError, "code" | "message" | "cause"> & { statement: unknown }) {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof HubwireError)) throw error;
    const { code, message, statement, cause } = error;
    return { code, message, statement, cause };
  }
}

/** `encode`; fails where those that check without encoding would have said something else. */
export function encode(packet: PacketInit): Uint8Array {
  const outcome = result(() => encodeOnly(packet));
  const size = outcome instanceof Uint8Array ? outcome.length : outcome;
  expect(result(() => checkPacket(packet))).toStrictEqual(size);
  if (typeof size === "number" && packet.type === "publish") {
    const { topic, payload = "", qos = 0, retain = false } = packet;
    expect(checkPublish(topic, payload, qos, retain)).toBe(size);
    expect(publishSize(topic, Buffer.from(payload as string).length, qos)).toBe(size);
  }
  return outcome instanceof Uint8Array ? outcome : encodeOnly(packet);
}

export interface Outcome {
  packets: Packet[];
  error: { code: ErrorCode; statement: string | undefined; message: string } | undefined;
}

/** What a reader makes of `pieces`; the error is that of the first push that throws. */
export function read(pieces: Iterable<Uint8Array>, options?: DecoderOptions): Outcome {
  const packets: Packet[] = [];
  const reader = new PacketReader((packet) => packets.push(packet), options);
  for (const piece of pieces) {
    try {
      reader.push(piece);
    } catch (error) {
      if (!(error instanceof HubwireError)) throw error;
      return { packets, error: { code: error.code, statement: error.statement, message: error.message } };
    }
  }
  return { packets, error: undefined };
}

/** `bytes` in pieces of `size`, each with memory of its own. */
export function cut(bytes: Uint8Array, size: number): Uint8Array[] {
  const pieces = [];
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.slice(at, at + size));
  return pieces;
}

/** Calls of a `Decoder`'s sink as [name, ...arguments], the payload copied out. */
export function calls(pieces: Iterable<Uint8Array>): unknown[][] {
  const log: unknown[][] = [];
  const note =
    (name: string) =>
    (...values: unknown[]): void => {
      log.push([name, ...values]);
    };
  const decoder = new Decoder({
    connect: note("connect"),
    connack: note("connack"),
    publish: (topic, bytes, start, end, qos, retain, dup, packetId) =>
      log.push(["publish", topic, bytes.slice(start, end), qos, retain, dup, packetId]),
    puback: note("puback"),
    pubrec: note("pubrec"),
    pubrel: note("pubrel"),
    pubcomp: note("pubcomp"),
    subscribe: note("subscribe"),
    suback: note("suback"),
    unsubscribe: note("unsubscribe"),
    unsuback: note("unsuback"),
    pingreq: note("pingreq"),
    pingresp: note("pingresp"),
    disconnect: note("disconnect"),
  });
  for (const piece of pieces) decoder.push(piece);
  return log;
}
