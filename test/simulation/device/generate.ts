/** Makes a program for a DeviceClient out of a seed; see `../generate.ts`. */
import { type Random, seeded } from "../../support/random.js";
import { Draft, HANDLER_STYLES, MAKERS } from "../kinds.js";
import type { Handler } from "../program.js";
import { pickDeviceScene } from "./scenes.js";
import type { AnyOp, DeviceProgram, DeviceProgramOptions, HubWorldOp, MethodStyle } from "./program.js";

const PAUSES = [0, 0, 1, 5, 20, 50, 200, 1_000, 3_000, 15_000, 40_000];
const METHODS = ["reboot", "reboot", "blink", "none"];
/** Kinds of steps of an MqttClient's world that a hub's has, too, which all do harm. */
const BORROWED = [
  "cut",
  "cut after",
  "stall",
  "line",
  "dial",
  "down",
  "answer",
  "close on",
  "connack",
  "refuse",
  "forget",
];

interface Kind {
  weight: number;
  /** The part of the programs in which it comes at all. */
  rare: number;
  /** It disturbs: not in a calm world. */
  isHarm?: boolean;
  make(draft: Draft): AnyOp;
}

function handler({ random }: Draft): Handler {
  const style = random.pick(HANDLER_STYLES);
  return { style, ms: random.pick([0, 20, 500, 5_000]), every: random.pick([1, 2, 3]) };
}

const method = ({ random }: Draft): MethodStyle => ({
  style: random.pick<MethodStyle["style"]>(["return", "return", "wait", "wait", "never", "fail", "bad"]),
  ms: random.pick([0, 20, 500, 5_000]),
});

const KINDS: Record<string, Kind> = {
  telemetry: {
    weight: 8,
    rare: 0.9,
    make: (draft) => ({
      do: "telemetry",
      qos: draft.random.pick([0, 1, 1]),
      size: draft.random.pick([10, 10, 100, 5_000]),
      times: draft.random.pick([1, 1, 2, 5, 20]),
      ...draft.signal(),
    }),
  },
  messages: { weight: 2, rare: 0.5, make: (draft) => ({ do: "messages", handler: handler(draft) }) },
  iterate: {
    weight: 3,
    rare: 0.4,
    make: ({ random }) => ({ do: "iterate", take: random.pick([1, 2, 5]), ms: random.pick([0, 10, 1_000]) }),
  },
  method: {
    weight: 3,
    rare: 0.7,
    make: (draft) => ({ do: "method", name: draft.random.pick(METHODS.slice(0, 3)), handler: method(draft) }),
  },
  twin: { weight: 4, rare: 0.7, make: (draft) => ({ do: "twin", ...draft.signal() }) },
  report: { weight: 4, rare: 0.7, make: (draft) => ({ do: "report", ...draft.signal() }) },
  desired: {
    weight: 3,
    rare: 0.8,
    make: ({ random }) => ({
      do: "desired",
      style: random.pick(["return", "return", "wait", "fail"] as const),
      ms: random.pick([0, 50, 3_000]),
    }),
  },
  connect: {
    weight: 1,
    rare: 0.4,
    make: (draft) => ({
      do: "connect",
      ...(draft.chance(0.5) && { timeout: draft.random.pick([500, 5_000, 60_000, Infinity]) }),
      ...draft.signal(),
    }),
  },
  abort: { weight: 1, rare: 0.3, make: (draft) => ({ do: "abort", signal: draft.random.below(3) }) },
  close: { weight: 0.5, rare: 0.25, make: (draft) => ({ do: "close", force: draft.chance(0.3) }) },
  patch: { weight: 7, rare: 0.85, make: ({ random }) => ({ do: "patch", times: random.pick([1, 1, 1, 2, 5]) }) },
  call: {
    weight: 6,
    rare: 0.8,
    make: (draft) => ({
      do: "call",
      name: draft.random.pick(METHODS),
      copies: draft.random.pick([1, 1, 1, 2]),
      isJson: draft.chance(0.9),
    }),
  },
  message: {
    weight: 5,
    rare: 0.7,
    make: ({ random }) => ({ do: "message", times: random.pick([1, 1, 3]), size: random.pick([10, 100, 5_000]) }),
  },
  notify: {
    weight: 3,
    rare: 0.5,
    isHarm: true,
    make: ({ random }) => ({
      do: "notify",
      how: random.pick(["lose", "lose", "repeat", "delay", "malformed"] as const),
      times: random.pick([1, 1, 2]),
      ms: random.pick([50, 2_000]),
    }),
  },
  recreate: { weight: 1, rare: 0.12, isHarm: true, make: () => ({ do: "recreate" }) },
  "twin answer": {
    weight: 3,
    rare: 0.5,
    isHarm: true,
    make: ({ random }) => ({
      do: "twin answer",
      how: random.pick(["lose", "repeat", "delay", "delay", "status", "malformed", "foreign"] as const),
      times: random.pick([1, 1, 2, 4]),
      ms: random.pick([50, 2_000, 12_000]),
    }),
  },
  sas: { weight: 2, rare: 0.2, isHarm: true, make: ({ random }) => ({ do: "sas", times: random.pick([1, 2]) }) },
  ...Object.fromEntries(
    BORROWED.map((name): [string, Kind] => {
      const { weight, rare, make } = MAKERS[name]!;
      return [name, { weight: weight / 2, rare: rare / 2, isHarm: true, make: (draft) => make(draft) as HubWorldOp }];
    }),
  ),
};

function options(random: Random): DeviceProgramOptions {
  return {
    cleanSession: random.next() < 0.15,
    keepAlive: random.pick([0, 5, 60]),
    maxInflight: random.pick([1, 3, 1_000]),
    connectTimeout: random.pick([3_000, 10_000]),
    operationTimeout: random.pick([3_000, 10_000, 30_000]),
    handlerTimeout: random.pick([20_000, 300_000]),
    reconnect:
      random.next() < 0.07
        ? false
        : random.pick([
            { minDelay: 10, maxDelay: 100 },
            { minDelay: 100, maxDelay: 2_000 },
          ]),
    queue: {
      maxCount: random.next() < 0.1 ? random.pick([0, 3]) : 100_000,
      maxBytes: 16_777_216,
      maxAge: random.pick([20_000, 600_000]),
      overflow: random.pick(["reject", "drop-oldest"] as const),
      qos0: random.next() < 0.9,
    },
    store: false,
    tokenLifetime: random.pick([20_000, 20_000, 60_000, 3_600_000]),
    proof: random.next() < 0.3 ? "provider" : "key",
    latency: random.pick([1, 5, 50, 300]),
  };
}

export function generateDevice(seed: number): DeviceProgram {
  const random = seeded(Math.imul(seed + 1, 0x9e3779b1) ^ 0x0de71ce);
  for (let i = 0; i < 3; i++) random.next();
  const draft = new Draft(random);
  const kinds: Kind[] = [];
  let total = 0;
  const isCalm = random.next() < 0.3;
  for (const kind of Object.values(KINDS)) {
    if (random.next() >= kind.rare || (isCalm && kind.isHarm)) continue;
    const weight = kind.weight * random.pick([0.5, 1, 1, 3]);
    total += weight;
    kinds.push({ ...kind, weight });
  }
  const steps: DeviceProgram["steps"] = [];
  const scene = pickDeviceScene(random, isCalm);
  if (scene) steps.push(...scene.first(random));
  if (random.next() < 0.4) steps.push({ after: 0, op: KINDS["desired"]!.make(draft) });
  if (random.next() < 0.4) steps.push({ after: 0, op: KINDS[random.pick(["messages", "iterate"])]!.make(draft) });
  if (random.next() < 0.9) steps.push({ after: 0, op: { do: "connect" } });
  const length = steps.length + 5 + random.below(30);
  const pauses = random.next() < 0.4 ? PAUSES.slice(0, 7) : PAUSES;
  while (steps.length < length && total > 0) {
    let at = random.next() * total;
    const kind = kinds.find(({ weight }) => (at -= weight) < 0) ?? kinds[0]!;
    steps.push({ after: random.pick(pauses), op: kind.make(draft) });
  }
  if (scene?.last) steps.push(...scene.last(random));
  return { seed, options: { ...options(random), ...scene?.options }, steps };
}
