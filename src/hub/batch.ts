/** Many messages of telemetry at once: in order, each with its own outcome, a bounded number on their way. */
import { orInvalid, readOptions } from "../check.js";
import type { TelemetryBody, TelemetryOptions } from "./telemetry.js";

/** One message of a batch. */
export interface TelemetryMessage extends TelemetryOptions {
  /** As `sendTelemetry` takes it. */
  body: TelemetryBody;
}

/** Messages of a batch that wait for their acknowledgement at a time. */
const WINDOW = 1_000;

/** Sends with `send`. Rejects with ERR_INVALID_ARGUMENT where `messages` cannot be iterated. */
export async function sendBatch(
  messages: Iterable<TelemetryMessage>,
  send: (body: TelemetryBody, options: TelemetryOptions) => Promise<void>,
): Promise<PromiseSettledResult<void>[]> {
  const outcomes: PromiseSettledResult<void>[] = [];
  const next = reader(messages);
  let count = 0;
  const worker = async (): Promise<void> => {
    for (let item = next(); !item.done; item = next()) {
      const index = count++;
      try {
        const { body, ...options } = readOptions(item.value ?? undefined, "a message of the batch");
        await send(body, options);
        outcomes[index] = { status: "fulfilled", value: undefined };
      } catch (reason) {
        outcomes[index] = { status: "rejected", reason };
      }
    }
  };
  await Promise.all(Array.from({ length: WINDOW }, worker));
  return outcomes;
}

/** Reads on; what the caller's iterator throws becomes an ERR_INVALID_ARGUMENT. */
function reader(messages: Iterable<TelemetryMessage>): () => IteratorResult<TelemetryMessage> {
  const unreadable = "a batch is an array, or anything else that can be iterated, of { body, … }";
  const iterator = orInvalid(() => messages[Symbol.iterator](), unreadable);
  return () => orInvalid(() => iterator.next(), unreadable);
}
