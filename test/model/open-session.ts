/**
 * The real session with its private members made readable, for the model checker to copy and compare.
 *
 * Invariant: the only change to the sources in src/session is `#name` to `__name`; what is explored is what
 * ships.
 */
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const source = resolve(import.meta.dirname, "../../src/session");

/** Edits to one source file: the text to replace, which must be there, and its replacement. */
export type Mutation = readonly [file: string, from: string, to: string];

/** Classes of src/session whose private members can be read as `__name`. */
export interface OpenSession {
  Session: any;
  SessionStore: any;
  Publication: any;
  Asking: any;
  Route: any;
  SUBACK: any;
}

/** The session's module, with `mutation` applied where one is given. */
export async function openSession(mutation?: Mutation): Promise<OpenSession> {
  const folder = mkdtempSync(join(tmpdir(), "hubwire-model-"));
  try {
    for (const name of readdirSync(source)) {
      let text = readFileSync(join(source, name), "utf8");
      if (mutation && mutation[0] === name) {
        const parts = text.split(mutation[1]);
        if (parts.length !== 2) throw new Error(`${name} has ${parts.length - 1} times: ${mutation[1]}`);
        text = parts.join(mutation[2]);
      }
      text = text
        .replace(/#([A-Za-z])/g, "__$1")
        .replace(/"(\.\.\/[^"]+)\.js"/g, (_, path: string) => JSON.stringify(resolve(source, path) + ".ts"));
      writeFileSync(join(folder, name), text);
    }
    return await import(/* @vite-ignore */ pathToFileURL(join(folder, "index.ts")).href);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
