/** What a device just did is what an unexplained close is explained with, and for how long. */
import { describe, expect, test } from "vitest";
import { HubwireError } from "../../src/errors.js";
import { ActivityNotes } from "../../src/hub/activity.js";
import { FakeClock } from "../support/clock.js";

const lost = (): HubwireError => new HubwireError("ERR_CONNECTION_LOST", "lost");

function scene() {
  const clock = new FakeClock();
  const notes = new ActivityNotes(clock);
  /** What is most likely, in its first words. */
  const likely = (expiresAt = Infinity): string =>
    /likely: (.*?)(?:;|$)/.exec(notes.explain(lost(), "device d", expiresAt).message)![1]!;
  return { clock, notes, likely };
}
/** Connected for so long that nothing is likely. */
function calm() {
  const all = scene();
  all.notes.accepted();
  all.clock.advance(60_000);
  return all;
}
const NOTHING = "the network or the hub's own restart";

describe("what is likely", () => {
  test("by when CONNACK came, if it did", () => {
    const { clock, notes, likely } = scene();
    expect(likely()).toMatch(/^a wrong user name/);
    notes.accepted();
    clock.advance(9_999);
    expect(likely()).toMatch(/^a topic not allowed/);
    clock.advance(1);
    expect(likely()).toBe(NOTHING);
    notes.ended(true);
    expect(likely()).toMatch(/^a wrong user name/);
  });

  test("by the token's end", () => {
    const { clock, likely } = calm();
    expect(likely(clock.now() + 1)).toBe(NOTHING);
    expect(likely(clock.now())).toBe("the SAS token expired");
  });

  test("by the largest message of the last ten seconds", () => {
    const { clock, notes, likely } = calm();
    notes.sending(200_000);
    clock.advance(4_000);
    notes.sending(150_000);
    clock.advance(6_000);
    expect(likely()).toMatch(/^message too large: 200000 bytes/);
    notes.sending(140_000);
    expect(likely()).toMatch(/^message too large: 200000 bytes/);
    clock.advance(1);
    expect(likely()).toBe(NOTHING);
    notes.sending(140_000);
    expect(likely()).toMatch(/^message too large: 140000 bytes/);
    clock.advance(5_000);
    notes.sending(140_000);
    clock.advance(10_000);
    expect(likely(), "one as large is the newer one").toMatch(/^message too large: 140000 bytes/);
  });

  test("by how many messages were sent in the last second", () => {
    const { clock, notes, likely } = calm();
    for (let count = 0; count < 100; count++) notes.sending(1);
    expect(likely()).toBe(NOTHING);
    clock.advance(999);
    notes.sending(1);
    expect(likely()).toBe("throttled: 101 messages in the last second");
    clock.advance(1_000);
    expect(likely()).toBe("throttled: 101 messages in the last second");
    clock.advance(1);
    expect(likely()).toBe(NOTHING);
    for (let count = 0; count < 101; count++) notes.sending(1);
    clock.advance(1_000);
    notes.sending(1);
    expect(likely(), "another second").toBe(NOTHING);
  });

  test("by how soon connections end, in a row, and of themselves", () => {
    const takeover = "another client connected as this device (takeover)";
    const short = (asPlanned: boolean, upFor: number): string => {
      const { clock, notes, likely } = scene();
      notes.accepted();
      clock.advance(upFor);
      notes.ended(asPlanned);
      notes.accepted();
      clock.advance(20_000);
      return likely();
    };
    expect(short(false, 59_999)).toBe(takeover);
    expect(short(false, 60_000)).toBe(NOTHING);
    expect(short(true, 1)).toBe(NOTHING);
    const { clock, notes, likely } = scene();
    for (let count = 0; count < 2; count++) {
      notes.accepted();
      notes.ended(false);
    }
    expect(likely(), "two that are over").toBe(takeover);
    notes.ended(false);
    expect(likely(), "an attempt that was not accepted").toMatch(/^a wrong user name/);
    notes.accepted();
    clock.advance(60_000);
    expect(likely()).toBe(NOTHING);
  });
});

test("one error has one explanation, and an explanation is its own", () => {
  const { notes } = scene();
  const error = lost();
  const explained = notes.explain(error, "device d", Infinity);
  expect(explained).not.toBe(error);
  expect(explained.cause).toBe(error);
  expect(notes.explain(error, "device d", 0)).toBe(explained);
  expect(notes.explain(explained, "device d", 0)).toBe(explained);
  expect(notes.explain("text", "device d", 0)).toMatchObject({ code: "ERR_HANDLER", message: "failed", cause: "text" });
});
