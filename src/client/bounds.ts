/**
 * How much may wait, where the caller does not say so: as much as this process has room for.
 *
 * Invariant: what all the bounds allow together, with what a program keeps of each message itself, fits into a heap of
 * 32 MiB; `npm run bench -- memory` fills them in one.
 */
import { builtin } from "../builtin.js";

const MIB = 1024 * 1024;
/** What the limit that V8 names holds for young objects, at most. */
const YOUNG = 48 * MIB;

export interface Bounds {
  /** Bytes of messages that wait to be sent; as many may be in flight. */
  queue: number;
  /** Bytes of received messages that wait in handlers and mailboxes. */
  inbound: number;
  /** The same while own requests wait for an answer, which arrives behind the messages that are held back. */
  inboundPatient: number;
}

/** The bounds for a heap limit as V8 names it, bytes. */
export function boundsFor(heapLimit: number): Bounds {
  const heap = Math.max(16 * MIB, heapLimit - YOUNG);
  return {
    queue: Math.min(64 * MIB, heap / 5),
    inbound: Math.min(4 * MIB, heap / 16),
    inboundPatient: Math.min(64 * MIB, heap / 8),
  };
}

let known: Bounds | undefined;

/** Those of this process. */
export const bounds = (): Bounds => (known ??= boundsFor(builtin("v8").getHeapStatistics().heap_size_limit));
