/** The kinds of clients that are simulated, each with its programs and how one is run. */
import * as mqtt from "../../src/client/index.js";
import * as hub from "../../src/hub/index.js";
import { generateDevice } from "./device/generate.js";
import type { DeviceProgram } from "./device/program.js";
import { runDevice } from "./device/run.js";
import { generate } from "./generate.js";
import type { Outcome } from "./outcome.js";
import type { AnyProgram, Program } from "./program.js";
import { run } from "./run.js";

export interface Family {
  generate(seed: number): AnyProgram;
  /** A program of this family's, or a smaller one made of it. */
  run(program: AnyProgram, tracing: boolean): Promise<Outcome>;
  play(seed: number): Promise<Outcome>;
}

export const families: Record<string, Family> = {
  client: {
    generate,
    run: (program, tracing) => run(program as Program, mqtt, tracing),
    play: (seed) => run(generate(seed), mqtt),
  },
  device: {
    generate: generateDevice,
    run: (program, tracing) => runDevice(program as DeviceProgram, hub, tracing),
    play: (seed) => runDevice(generateDevice(seed), hub),
  },
};
