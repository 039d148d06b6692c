/** Scenes of a device: a few steps in an order that chance alone would hardly make; see `../scenes.ts`. */
import type { Random } from "../../support/random.js";
import type { AnyOp, DeviceProgram, DeviceProgramOptions } from "./program.js";

type Steps = DeviceProgram["steps"];

export interface DeviceScene {
  /** It disturbs: not in a calm world. */
  isHarm?: boolean;
  options?: Partial<DeviceProgramOptions>;
  /** At the start, before anything else. */
  first(random: Random): Steps;
  /** At the end. */
  last?(random: Random): Steps;
}

const step = (op: AnyOp, after = 0): Steps[number] => ({ after, op });

const SCENES: readonly DeviceScene[] = [
  // Just the first reading of the twin fails, on a connection that lasts.
  {
    isHarm: true,
    options: { tokenLifetime: 3_600_000 },
    first: (random) => [
      step({ do: "patch", times: 3 }),
      step({ do: "twin answer", how: random.pick(["status", "malformed", "lose"] as const), times: 1, ms: 0 }),
      step({ do: "desired", style: "return", ms: 0 }),
    ],
  },
  // More changes than a slow handler has taken when the client is closed.
  {
    first: () => [step({ do: "desired", style: "wait", ms: 3_000 })],
    last: (random) => [
      step({ do: "patch", times: 5 }),
      step({ do: "close", force: random.pick([true, false]) }, random.pick([50, 1_000])),
    ],
  },
  // A request about the twin is on its way whenever the token is renewed.
  {
    options: { tokenLifetime: 20_000, latency: 300, maxInflight: 1_000 },
    first: (random) => [
      step({ do: "connect" }),
      ...Array.from({ length: 20 }, () => step({ do: random.pick(["twin", "report"] as const) }, 1_000)),
    ],
  },
];

/** One of them in every eighth program. */
export function pickDeviceScene(random: Random, isCalm: boolean): DeviceScene | undefined {
  if (random.next() >= 1 / 8) return undefined;
  const scene = random.pick(SCENES);
  return scene.isHarm && isCalm ? undefined : scene;
}
