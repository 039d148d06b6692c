/** From an endpoint to a stream: what a caller's own connection may be, and what becomes of it when nobody wants it any more. */
import { Duplex } from "node:stream";
import { describe, expect, test } from "vitest";
import { type Endpoint, TlsSessions } from "../../src/transport/connection.js";
import { dial } from "../../src/transport/dial.js";

const begin = (createConnection: NonNullable<Endpoint["createConnection"]>, signal = new AbortController().signal) =>
  dial({ host: "h", port: 1, protocol: "mqtt", createConnection }, new TlsSessions(), signal);
const nothing = (): void => {};

describe("the caller's own connection", () => {
  test.each<[string, unknown]>([
    ["undefined", undefined],
    ["null", null],
    ["an empty object", {}],
    ["only readable", { pipe: nothing, destroy: nothing }],
    ["only writable", { write: nothing, destroy: nothing }],
    ["nothing that could be destroyed", { pipe: nothing, write: nothing }],
    ["of properties that are no methods", { pipe: 1, write: 1, destroy: 1 }],
  ])("is refused where it is %s, or a promise of that", async (_what, given) => {
    for (const made of [given, Promise.resolve(given)]) {
      await expect(begin(() => made as Duplex)).rejects.toMatchObject({
        code: "ERR_UNREACHABLE",
        message: "createConnection gave no Duplex, and no promise of one",
        retryable: true,
      });
    }
  });

  test("that never comes is not waited for once the signal was aborted", async () => {
    const abort = new AbortController();
    const dialled = begin(() => new Promise(nothing), abort.signal);
    abort.abort();
    await expect(dialled).rejects.toMatchObject({ code: "ERR_UNREACHABLE", cause: abort.signal.reason as Error });
  });

  test("is the line itself, bare", async () => {
    const stream = new Duplex({ read: nothing, write: (_chunk, _encoding, done) => done() });
    expect(await begin(() => stream)).toEqual({ stream, framing: undefined, proven: undefined });
    stream.destroy();
  });
});
