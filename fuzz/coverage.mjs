// Which inputs reach something new: the inspector's precise coverage, by block.
import { Session } from "node:inspector";

export class CoverageGuide {
  #session = new Session();
  #files;
  #known = new Set();
  #last = [];

  /** `files`: a regular expression on the addresses of the scripts that count. */
  constructor(files) {
    this.#files = files;
  }

  #post(method, params) {
    let result;
    // In the same thread the answer is there when `post` returns.
    this.#session.post(method, params, (error, answer) => {
      if (error) throw error;
      result = answer;
    });
    return result;
  }

  start() {
    this.#session.connect();
    this.#post("Profiler.enable");
    this.#post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  /** Whether anything ran since the last call that never ran before. */
  news() {
    this.#last = [];
    for (const { url, functions } of this.#post("Profiler.takePreciseCoverage").result) {
      if (!this.#files.test(url)) continue;
      for (const { ranges } of functions) {
        for (const { startOffset, endOffset, count } of ranges) {
          if (count === 0) continue;
          const key = `${url}:${startOffset}:${endOffset}`;
          if (!this.#known.has(key)) this.#last.push(key);
        }
      }
    }
    for (const key of this.#last) this.#known.add(key);
    return this.#last.length > 0;
  }

  /** What the last `news` found is new again. */
  forgetLast() {
    for (const key of this.#last) this.#known.delete(key);
  }

  stop() {
    this.#post("Profiler.stopPreciseCoverage");
    this.#session.disconnect();
  }
}
