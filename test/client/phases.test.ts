/** The table of phases: what `src/README.md` shows is what the code checks. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { FOLLOWERS, LifeCycle } from "../../src/client/life-cycle.js";
import type { ClientState } from "../../src/client/index.js";
import { HubwireError } from "../../src/errors.js";

const phases = Object.keys(FOLLOWERS) as ClientState[];

const table = [
  "| phase | may be followed by |",
  "|---|---|",
  ...phases.map(
    (phase) => `| \`${phase}\` | ${FOLLOWERS[phase].map((next) => `\`${next}\``).join(", ") || "nothing"} |`,
  ),
].join("\n");

const life = (): LifeCycle => new LifeCycle({ reconnect: { minDelay: 1_000, maxDelay: 60_000 }, random: () => 0.5 });

/** A life in that phase, by the shortest way. */
function lifeIn(wanted: ClientState): LifeCycle {
  const ways: ClientState[][] = [["idle"]];
  for (const way of ways) {
    const last = way[way.length - 1]!;
    if (last === wanted) {
      const made = life();
      for (const phase of way.slice(1)) made.enter(phase, 0);
      return made;
    }
    for (const next of FOLLOWERS[last]) if (!way.includes(next)) ways.push([...way, next]);
  }
  throw new Error(`no way leads to ${wanted}`);
}

describe("phases", () => {
  test("the guide shows the table", () => {
    const guide = readFileSync(new URL("../../src/README.md", import.meta.url), "utf8");
    expect(/<!-- phases -->\n([^]*?)\n<!-- \/phases -->/.exec(guide)?.[1]).toBe(table);
  });

  test.each(phases)("%s is reached, and left as the table says and in no other way", (phase) => {
    for (const next of phases) {
      const made = lifeIn(phase);
      expect(made.phase).toBe(phase);
      if (FOLLOWERS[phase].includes(next)) made.enter(next, 0);
      else expect(() => made.enter(next, 0), next).toThrow(`${phase} is never followed by ${next}`);
    }
  });

  test("the connection is up from CONNACK to its end", () => {
    const up = phases.filter((phase) => lifeIn(phase).isUp);
    expect(up.sort()).toEqual(["closing", "connected", "ending", "leaving", "renewing"]);
  });

  test("a phase ends by itself after its time, where it has one", () => {
    const made = life();
    expect(made.wakeAt).toBe(Infinity);
    made.enter("connecting", 100, 50);
    expect(made.wakeAt).toBe(150);
    made.accepted(120, 7);
    expect([made.phase, made.wakeAt]).toEqual(["connected", 127]);
    made.enter("waiting", 130);
    expect(made.wakeAt).toBe(Infinity);
  });

  test("was accepted: from the first CONNACK until it is stopped", () => {
    const made = lifeIn("connecting");
    expect(made.wasAccepted).toBe(false);
    made.accepted(0, Infinity);
    made.enter("waiting", 0);
    expect(made.wasAccepted).toBe(true);
    made.enter("stopped", 0);
    expect(made.wasAccepted).toBe(false);
  });

  test("closed is the end, and every phase leads there", () => {
    expect(FOLLOWERS.closed).toEqual([]);
    for (const phase of phases)
      if (phase !== "closed") lifeIn(phase).enter(phase === "leaving" ? "ending" : "closed", 0);
  });
});

describe("after a connection or attempt", () => {
  const error = (
    code: "ERR_CONNECTION_LOST" | "ERR_NOT_AUTHORIZED" | "ERR_SAS_EXPIRED" | "ERR_STORE" | "ERR_INVALID_ARGUMENT",
  ) => new HubwireError(code, code);

  test("before the first acceptance what cannot pass stops; what may pass is tried again", () => {
    const made = lifeIn("connecting");
    expect(made.ended(error("ERR_NOT_AUTHORIZED"), 0, Infinity)).toEqual({ do: "stop" });
    expect(lifeIn("connecting").ended(error("ERR_CONNECTION_LOST"), 0, Infinity)).toMatchObject({
      do: "retry",
      delay: 500,
    });
  });

  test.each(["ERR_NOT_AUTHORIZED", "ERR_STORE", "ERR_INVALID_ARGUMENT"] as const)(
    "after it %s is tried again, slowly",
    (code) => {
      const made = lifeIn("connecting");
      made.accepted(0, Infinity);
      expect(made.ended(error(code), 10, -Infinity)).toMatchObject({ do: "retry", delay: 45_000 });
    },
  );

  test("attempts are counted, and the last error kept, until one is accepted or connect() begins anew", () => {
    const lost = error("ERR_CONNECTION_LOST");
    const made = lifeIn("connecting");
    const attempt = (): unknown => made.ended(lost, 0, Infinity);
    expect([attempt(), attempt()]).toMatchObject([{ attempt: 1 }, { attempt: 2 }]);
    expect(made.lastError).toBe(lost);
    made.restart();
    expect(made.lastError).toBeUndefined();
    expect(attempt()).toMatchObject({ attempt: 1 });
    made.accepted(0, Infinity);
    expect(made.lastError).toBeUndefined();
    expect(attempt()).toMatchObject({ attempt: 1 });
  });

  test("without reconnecting, one attempt is all", () => {
    const made = new LifeCycle({ reconnect: undefined, random: () => 0.5 });
    made.enter("connecting", 0);
    expect(made.ended(error("ERR_CONNECTION_LOST"), 0, Infinity)).toEqual({ do: "stop" });
  });

  test("a delay is cut to what connect() has left, but for the last 50 ms; once accepted it waits as long as it likes", () => {
    const ended = (patience: number, made = lifeIn("connecting")): unknown =>
      made.ended(error("ERR_CONNECTION_LOST"), 0, patience);
    expect(ended(501)).toMatchObject({ do: "retry", delay: 500 });
    expect(ended(500)).toMatchObject({ do: "retry", delay: 250 });
    expect(ended(50)).toMatchObject({ do: "retry", delay: 25 });
    expect(ended(49)).toEqual({ do: "stop" });
    const accepted = lifeIn("connecting");
    accepted.accepted(0, Infinity);
    expect(ended(1, accepted)).toMatchObject({ do: "retry", delay: 500 });
  });

  test("the third connection in a row that the peer closes soon is a takeover, an attempt or a failure of ours is none", () => {
    const thrice = (code: Parameters<typeof error>[0], isAccepted: boolean, upFor = 10): unknown[] => {
      const made = lifeIn("connecting");
      return [1_000, 2_000, 3_000].map((now) => {
        if (isAccepted) made.accepted(now, Infinity);
        const sequel = made.ended(error(code), now + upFor, Infinity);
        if (isAccepted) for (const phase of ["waiting", "connecting"] as const) made.enter(phase, now);
        return "isTakeover" in sequel && sequel.isTakeover;
      });
    };
    expect(thrice("ERR_CONNECTION_LOST", true)).toEqual([false, false, true]);
    expect(thrice("ERR_CONNECTION_LOST", true, 500_000)).toEqual([false, false, false]);
    expect(thrice("ERR_STORE", true)).toEqual([false, false, false]);
    expect(thrice("ERR_CONNECTION_LOST", false)).toEqual([false, false, false]);
  });

  test("a token that cannot be renewed stops it at any time", () => {
    const made = lifeIn("connecting");
    made.accepted(0, Infinity);
    expect(made.ended(error("ERR_SAS_EXPIRED"), 10, -Infinity)).toEqual({ do: "stop" });
  });
});
