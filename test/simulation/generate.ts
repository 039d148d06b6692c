/**
 * Makes a program out of a seed.
 *
 * Each program has moods of its own: most kinds of steps are left out of it and some come often, because faults hide where
 * a few things happen many times, and rarely where everything happens once.
 */
import { type Random, seeded } from "../support/random.js";
import { Draft, MAKERS, type Maker, subscribe } from "./kinds.js";
import type { Op, Program, ProgramOptions, Step } from "./program.js";
import { pickScene } from "./scenes.js";

/** ms between steps. */
const PAUSES = [0, 0, 0, 1, 5, 10, 20, 50, 200, 1_000, 3_000, 15_000, 60_000];

/** The part of the programs that have a scene. */
const SCENE = 0.25;

/** What does not happen in a calm world, in which every answer comes. */
const HARM: readonly string[] = [
  "poison",
  "cut",
  "cut after",
  "stall",
  "line",
  "dial",
  "down",
  "answer",
  "close on",
  "connack",
  "pubrec",
  "forget",
  "unknown",
  "garbage",
  "takeover",
  "limit",
  "store",
];

function options(random: Random): ProgramOptions {
  const few = random.next() < 0.2;
  return {
    cleanSession: random.next() < 0.45,
    keepAlive: random.pick([0, 5, 5, 60, 60, 1]),
    maxInflight: random.pick([1, 2, 3, 10, 1_000, 1_000]),
    connectTimeout: random.pick([500, 3_000, 10_000]),
    operationTimeout: random.pick([500, 3_000, 10_000, 30_000]),
    handlerTimeout: random.pick([1_000, 20_000, 300_000]),
    reconnect:
      random.next() < 0.07
        ? false
        : random.pick([
            { minDelay: 10, maxDelay: 100 },
            { minDelay: 100, maxDelay: 2_000 },
            { minDelay: 1_000, maxDelay: 60_000 },
          ]),
    queue:
      random.next() < 0.05
        ? false
        : {
            maxCount: few ? random.pick([0, 1, 3]) : 100_000,
            maxBytes: random.next() < 0.1 ? 2_000 : 16_777_216,
            maxAge: random.pick([3_000, 20_000, 600_000, 600_000]),
            overflow: random.pick(["reject", "reject", "drop-oldest"] as const),
            qos0: random.next() < 0.85,
          },
    store: random.next() < 0.2,
  };
}

export function generate(seed: number): Program {
  // Neighbouring seeds begin alike.
  const random = seeded(Math.imul(seed + 1, 0x9e3779b1));
  for (let i = 0; i < 3; i++) random.next();
  const draft = new Draft(random);
  const kinds: { make: Maker; weight: number }[] = [];
  let total = 0;
  const isCalm = random.next() < 0.12;
  for (const [name, { weight, rare, make }] of Object.entries(MAKERS)) {
    const isLikely = isCalm && name === "flood" ? 0.4 : rare;
    if (random.next() >= isLikely || (isCalm && HARM.includes(name))) continue;
    const often = weight * random.pick([0.5, 1, 1, 3]);
    total += often;
    kinds.push({ make, weight: often });
  }
  const steps: Step[] = [];
  const add = (after: number, ...ops: (Op | Step)[]): void => {
    ops.forEach((made, index) => {
      const usual = index === 0 ? after : 50;
      steps.push(
        "op" in made && typeof made.op === "object" && "after" in made ? made : { after: usual, op: made as Op },
      );
    });
  };
  if (random.next() < 0.9) add(0, { do: "connect" });
  if (random.next() < 0.7) add(random.pick([0, 50]), subscribe(draft));
  const scene = random.next() < SCENE ? pickScene(draft, isCalm) : undefined;
  // Often at the start, where nothing has disturbed it yet.
  const sceneAt = random.next() < 0.6 ? steps.length : random.below(20);
  const length = 5 + random.below(30);
  const hurry = random.next() < 0.4;
  let isShown = false;
  const show = (): void => {
    isShown = true;
    if (scene) add(50, ...scene.make(draft));
  };
  while (steps.length < length && total > 0) {
    if (!isShown && steps.length >= sceneAt) show();
    let at = random.next() * total;
    const kind = kinds.find(({ weight }) => (at -= weight) < 0) ?? kinds[0]!;
    add(random.pick(hurry ? PAUSES.slice(0, 8) : PAUSES), kind.make(draft));
  }
  if (!isShown) show();
  return { seed, options: { ...options(random), ...scene?.options?.(draft) }, steps };
}
