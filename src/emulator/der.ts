/**
 * A writer for the part of DER (ITU-T X.690) that X.509 certificates need.
 *
 * Invariant: every function returns one complete element, tag and length included, in its only DER form.
 */

/** One element: `tag`, the shortest length, then the contents in order. */
export function element(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const body = Buffer.concat(contents);
  const length: number[] = [];
  if (body.length < 0x80) {
    length.push(body.length);
  } else {
    for (let rest = body.length; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256);
    length.unshift(0x80 | length.length);
  }
  return Buffer.concat([Uint8Array.of(tag, ...length), body]);
}

export const sequence = (...contents: readonly Uint8Array[]): Uint8Array => element(0x30, ...contents);
export const set = (content: Uint8Array): Uint8Array => element(0x31, content);
export const boolean = (value: boolean): Uint8Array => element(0x01, Uint8Array.of(value ? 0xff : 0));
export const octetString = (value: Uint8Array): Uint8Array => element(0x04, value);
export const utf8String = (value: string): Uint8Array => element(0x0c, Buffer.from(value, "utf8"));

/** An element with a context-specific tag; `constructed` where the contents are elements themselves. */
export const context = (tag: number, constructed: boolean, ...contents: readonly Uint8Array[]): Uint8Array =>
  element(0x80 | (constructed ? 0x20 : 0) | tag, ...contents);

/** A non-negative INTEGER from big-endian bytes. */
export function integer(magnitude: Uint8Array): Uint8Array {
  let start = 0;
  while (start < magnitude.length - 1 && magnitude[start] === 0) start++;
  const shortest = magnitude.subarray(start);
  // A set top bit would make the number negative.
  return (shortest[0] ?? 0) >= 0x80 ? element(0x02, Uint8Array.of(0), shortest) : element(0x02, shortest);
}

/** A BIT STRING; `unusedBits` of the last byte do not count. */
export const bitString = (value: Uint8Array, unusedBits = 0): Uint8Array =>
  element(0x03, Uint8Array.of(unusedBits), value);

/** An OBJECT IDENTIFIER from its dotted form. */
export function objectIdentifier(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const base128 = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) {
      base128.unshift(0x80 | (left % 128));
    }
    bytes.push(...base128);
  }
  return element(0x06, Uint8Array.from(bytes));
}

/** A Time of whole seconds: UTCTime through 2049, GeneralizedTime afterwards (RFC 5280, section 4.1.2.5). */
export function time(millisecondsSinceEpoch: number): Uint8Array {
  const digits = new Date(millisecondsSinceEpoch).toISOString().replace(/\.\d+|[-:T]/g, "");
  const year = Number(digits.slice(0, 4));
  return year >= 1950 && year < 2050
    ? element(0x17, Buffer.from(digits.slice(2), "latin1"))
    : element(0x18, Buffer.from(digits, "latin1"));
}
