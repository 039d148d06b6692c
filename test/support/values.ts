/** What careless callers hand over: values of every kind, made anew for each call. */

/** A getter of the caller that fails. */
export const boom = (): never => {
  throw new RangeError("the caller's own");
};
/** Whatever is looked at throws. */
const hostile = (): object =>
  new Proxy({}, { get: boom, has: boom, ownKeys: boom, getOwnPropertyDescriptor: boom, getPrototypeOf: boom });

export const VALUES: Readonly<Record<string, () => unknown>> = {
  undefined: () => undefined,
  null: () => null,
  number: () => 5,
  NaN: () => Number.NaN,
  boolean: () => true,
  text: () => "text",
  "empty text": () => "",
  "a lone surrogate": () => "\ud800",
  symbol: () => Symbol("s"),
  bigint: () => 1n,
  function: () => () => {},
  array: () => [1],
  object: () => ({}),
  "an object of nothing": () => Object.create(null),
  date: () => new Date(Number.NaN),
  bytes: () => new Uint8Array(3),
  "the name __proto__": () => JSON.parse('{"__proto__":{"qos":2}}'),
  "an object that throws": hostile,
};

/** What a call of the client's throws or rejects with, once the client is closed; undefined where it ends well. */
export async function outcomeOf(
  client: { close(options: { force: boolean }): Promise<void> },
  call: () => unknown,
): Promise<unknown> {
  try {
    const result = call();
    await client.close({ force: true });
    await result;
    return undefined;
  } catch (error) {
    return error;
  } finally {
    await client.close({ force: true });
  }
}
