/** Programs of a device in which something was wrong once; see `../known.ts`. */
import { PLAIN } from "../program.js";
import type { DeviceProgram, DeviceProgramOptions } from "./program.js";

const OPTIONS: DeviceProgramOptions = {
  ...PLAIN,
  cleanSession: false,
  tokenLifetime: 3_600_000,
  proof: "key",
  latency: 5,
};

const program = (...steps: DeviceProgram["steps"]): DeviceProgram => ({ seed: 0, options: OPTIONS, steps });

export const knownOfDevice: Record<string, DeviceProgram> = {
  "a subscription that had no answer is not asked for again": program(
    { after: 0, op: { do: "connect" } },
    { after: 100, op: { do: "answer", how: "lose", type: "suback", times: 1, ms: 0 } },
    { after: 0, op: { do: "iterate", take: 1, ms: 0 } },
    { after: 60_000, op: { do: "message", times: 1, size: 10 } },
  ),
  "a handler that fails with a message that waited for it fails messages()": program(
    { after: 0, op: { do: "iterate", take: 1, ms: 0 } },
    { after: 0, op: { do: "connect" } },
    { after: 100, op: { do: "message", times: 3, size: 10 } },
    { after: 1_000, op: { do: "messages", handler: { style: "fail", every: 1 } } },
  ),
};
