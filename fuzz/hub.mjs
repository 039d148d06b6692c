// What the hub's targets share: the built wire formats, and text made of input bytes.
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";

const dist = process.env.HUBWIRE_DIST ?? resolve(import.meta.dirname, "../dist");
export const hub = await import(pathToFileURL(resolve(dist, "hub/wire.js")).href);

export const textOf = (input) => Buffer.from(input).toString();
/** Any sequence of UTF-16 code units, halves of surrogate pairs included. */
export const unitsOf = (input) => Buffer.from(input).toString("utf16le");
export const bytesOf = (text) => new Uint8Array(Buffer.from(text));

/** A generator of inputs that are `parts` in any order. */
export const ofParts = (parts, most) => (random) => {
  let text = "";
  for (let count = random(most); count > 0; count--) text += parts[random(parts.length)];
  return bytesOf(text);
};

/** Two maps with the same entries in the same order. */
export const entries = (map) => [...map].flat();
