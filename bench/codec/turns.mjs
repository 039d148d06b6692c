// Contenders that have a process of their own each and take turns: what one leaves behind (garbage, grown memory,
// call sites that have seen many kinds of things) is then not paid for by the next.
import { fork } from "node:child_process";
import { join } from "node:path";
import { message } from "../suite/parties.mjs";
import { now, timed } from "./measure.mjs";

/**
 * The options of how long: milliseconds of a turn, and of work before the first one that counts. The engine compiles in the
 * first 200 to 300.
 */
export const lengths = {
  turn: { type: "string", default: "60" },
  "warm-up": { type: "string", default: "400" },
};

async function start(program, name, options) {
  const child = fork(join(import.meta.dirname, `${program}.mjs`), [...options, "--peer", name]);
  await message(child);
  const nanoseconds = () => {
    child.send("turn");
    return message(child);
  };
  return { name, nanoseconds, stop: () => child.disconnect() };
}

/**
 * Has `names` take turns as peers of bench/codec/<program>.mjs, and `others`: { name, nanoseconds }, where `nanoseconds()`
 * takes one; in an order that rotates, so that a drift of the machine falls on all. Returns by name the nanoseconds a
 * unit of each round.
 */
export async function takeTurns(program, names, options, rounds, others = []) {
  const contenders = [...(await Promise.all(names.map((name) => start(program, name, options)))), ...others];
  const times = Object.fromEntries(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < contenders.length; i++) {
      const { name, nanoseconds } = contenders[(i + round) % contenders.length];
      times[name].push(await nanoseconds());
    }
  }
  for (const { stop } of contenders) stop?.();
  return times;
}

/** In the process of a contender: `pass()` handles `count` units, and a turn is as many of them as take about its time. */
export function answerTurns(pass, count, { turn, "warm-up": warmUp }) {
  let passes = 0;
  const started = now();
  for (; now() - started < Number(warmUp) * 1e6; passes++) pass();
  // The later half, for the first passes are slow ones.
  const again = Math.ceil(passes / 2);
  const begun = now();
  for (let i = 0; i < again; i++) pass();
  const times = Math.max(1, Math.round((Number(turn) * 1e6 * again) / (now() - begun)));
  globalThis.gc?.();
  const run = () => {
    for (let i = 0; i < times; i++) pass();
  };
  process.on("message", () => process.send(timed({ count: count * times, run })));
  process.send("ready");
}
