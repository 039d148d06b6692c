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

  test("a token that cannot be renewed stops it at any time", () => {
    const made = lifeIn("connecting");
    made.accepted(0, Infinity);
    expect(made.ended(error("ERR_SAS_EXPIRED"), 10, -Infinity)).toEqual({ do: "stop" });
  });
});
