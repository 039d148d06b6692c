// What the hub's targets share: the built wire formats, and text made of input bytes.
import { pathToFileURL } from "node:url";
import { resolve } from "node:path";

const dist = process.env.HUBWIRE_DIST ?? resolve(import.meta.dirname, "../dist");
export const hub = await import(pathToFileURL(resolve(dist, "wire/index.js")).href);

const { utf8Slice, ucs2Slice } = Buffer.prototype;

export const textOf = (input) => utf8Slice.call(input, 0, input.length);
/** Any sequence of UTF-16 code units, halves of surrogate pairs included. */
export const unitsOf = (input) => ucs2Slice.call(input, 0, input.length & ~1);
export const bytesOf = (text) => new Uint8Array(Buffer.from(text));

/** A generator of inputs that are at most `most` of `words` in any order. */
export const ofWords = (words, most) => (random) => {
  const parts = [];
  for (let count = random(most); count > 0; count--) parts.push(words[random(words.length)]);
  return new Uint8Array(Buffer.concat(parts));
};
