/** `await using` for our classes. */

/** Node 18 has no such symbol before 18.18; this is what a polyfill registers. */
export const asyncDispose: typeof Symbol.asyncDispose = Symbol.asyncDispose ?? Symbol.for("Symbol.asyncDispose");
