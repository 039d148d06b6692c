/** Judges errors: none shows a secret, however one looks at it. */
import { inspect } from "node:util";
import type { Report } from "../report.js";
import { KEY } from "./hub.js";

/** What a token's signature begins with. */
const SIGNATURE = /sig=|SharedAccessSignature sr=/;

export class Secrets {
  readonly #report: Report;

  constructor(report: Report) {
    this.#report = report;
  }

  look(error: unknown): void {
    const { stack = "", message = "" } = error as Partial<Error>;
    const text = `${inspect(error, { depth: 8, showHidden: true })} ${stack} ${message}`;
    this.#report.check(!text.includes(KEY) && !SIGNATURE.test(text), () => `an error shows a secret: ${message}`);
  }
}
