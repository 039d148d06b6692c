/** Payloads that say which message they are: its number in four bytes, then one byte that is 1 in a poisonous one. */

/** The least size. */
export const HEAD = 5;

export function payloadOf(id: number, size: number, poison: boolean): Uint8Array {
  const payload = new Uint8Array(Math.max(HEAD, size));
  new DataView(payload.buffer).setUint32(0, id);
  payload[4] = +poison;
  return payload;
}

export const messageId = (payload: Uint8Array): number =>
  payload.length < HEAD ? 0 : new DataView(payload.buffer, payload.byteOffset).getUint32(0);

export const isPoison = (payload: Uint8Array): boolean => payload[4] === 1;
