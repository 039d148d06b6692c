// Which inputs reach something new: the inspector's precise coverage, by block. It slows down all code that is compiled
// while it counts, and after it too, so this runs in a thread of its own, which hands back the inputs that are worth
// mutating further; or the first that fails.
import { Session } from "node:inspector";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { corpusOf, inputsFrom } from "./inputs.mjs";
import { failure, load } from "./target.mjs";
import { adopt } from "./watchdog.mjs";

const BATCH = 500;

/** Resolves to `{ found, failed }`. Equal arguments give equal answers. */
export function explore(name, seed, runs, watchdog) {
  const worker = new Worker(new URL(import.meta.url), { workerData: { name, seed, runs, watchdog } });
  return new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
}

/**
 * `news()`: whether anything ran since the last call that never ran before; `forget` makes that new again. What ran is
 * noted by character, because V8 joins blocks of equal counts into ranges that differ from input to input.
 */
function coverageOf(files) {
  const session = new Session();
  session.connect();
  const post = (method, params) => {
    let result;
    // In the same thread the answer is there when `post` returns.
    session.post(method, params, (error, answer) => {
      if (error) throw error;
      result = answer?.result;
    });
    return result;
  };
  post("Profiler.enable");
  post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  const known = new Map();
  let last = [];
  return {
    news() {
      last = [];
      for (const { url, functions } of post("Profiler.takePreciseCoverage")) {
        if (!files.test(url)) continue;
        const ran = new Uint8Array(0x10000);
        const ranges = functions.flatMap((item) => item.ranges);
        // Inner ranges after those around them.
        ranges.sort((a, b) => a.startOffset - b.startOffset || b.endOffset - a.endOffset);
        for (const { startOffset, endOffset, count } of ranges) ran.fill(count > 0 ? 1 : 0, startOffset, endOffset);
        if (!known.has(url)) known.set(url, new Uint8Array(0x10000));
        const before = known.get(url);
        for (let i = 0; i < ran.length; i++) if (ran[i] > before[i]) (last.push([before, i]), (before[i] = 1));
      }
      return last.length > 0;
    },
    forget: () => last.forEach(([before, i]) => (before[i] = 0)),
  };
}

async function work({ name, seed, runs, watchdog }) {
  adopt(watchdog);
  const target = await load(name);
  const corpus = corpusOf(name, target);
  const next = inputsFrom(seed, target, corpus);
  const guide = coverageOf(target.coverage);
  const found = [];
  const fails = (input) => failure(target, input, false) !== undefined;
  /** Keeps those of `inputs` that reach something new, found by halving. */
  const keep = (inputs) => {
    const failed = inputs.find(fails);
    if (failed !== undefined || !guide.news()) return failed;
    if (inputs.length === 1) return void (corpus.push(inputs[0]), found.push(inputs[0]));
    guide.forget();
    const half = inputs.length >> 1;
    return keep(inputs.slice(0, half)) ?? keep(inputs.slice(half));
  };
  let failed = corpus.find(fails);
  guide.news();
  for (let done = 0; done < runs && failed === undefined; done += BATCH) {
    failed = keep(Array.from({ length: BATCH }, () => next().slice()));
  }
  parentPort.postMessage({ found, failed });
}

if (!isMainThread) await work(workerData);
