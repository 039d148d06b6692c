// The build of hubwire that a program measures: this one, or the one that HUBWIRE_DIST names (--build of the runner).
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const here = resolve(import.meta.dirname, "../../dist");

/** An entry of a build, as "client/index.js". */
export const load = (entry, dist = process.env.HUBWIRE_DIST ?? here) =>
  import(pathToFileURL(resolve(dist, entry)).href);

/** Other builds that take part, as `{ name: its dist folder }`. */
export const builds = JSON.parse(process.env.HUBWIRE_BUILDS ?? "{}");
/** All builds by the name of their row: this one first. */
export const allBuilds = { hubwire: here, ...builds };
