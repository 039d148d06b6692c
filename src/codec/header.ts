/**
 * The fixed header (section 2.2): packet types, their flags, and what remaining lengths they may have.
 *
 * A remaining length in more bytes than it needs is accepted: MQTT 3.1.1 limits the field to four bytes and,
 * unlike MQTT 5, does not ask for the shortest form (section 2.2.3).
 */
import { MALFORMED, TOO_LARGE, fault } from "./fault.js";
import type { HubwireError } from "../errors.js";

/** The packet names by type number (section 2.2.1). */
export const NAMES = [
  "",
  "connect",
  "connack",
  "publish",
  "puback",
  "pubrec",
  "pubrel",
  "pubcomp",
  "subscribe",
  "suback",
  "unsubscribe",
  "unsuback",
  "pingreq",
  "pingresp",
  "disconnect",
] as const;

/**
 * The only legal first byte by type number, but for PUBLISH: PUBREL, SUBSCRIBE and UNSUBSCRIBE carry 0010.
 */
export const FIRST_BYTES = /* @__PURE__ */ NAMES.map(
  (_, type) => (type << 4) | (type === 6 || type === 8 || type === 10 ? 2 : 0),
);

const ILLEGAL = -2;
const ANY = -1;

/** By first byte: ILLEGAL, or the only legal remaining length, or ANY. */
const RULES = /* @__PURE__ */ Int8Array.from({ length: 256 }, (_, first) => {
  const type = first >> 4;
  // Neither QoS 3 nor DUP with QoS 0.
  if (type === 3) return (first & 6) === 6 || (first & 14) === 8 ? ILLEGAL : ANY;
  if (first !== FIRST_BYTES[type] || !NAMES[type]) return ILLEGAL;
  return type > 11 ? 0 : (type > 3 && type < 8) || type === 2 || type === 11 ? 2 : ANY;
});

/** Why `first` with `length` breaks its rule. */
function headerFault(first: number, length: number): HubwireError {
  const type = first >> 4;
  if (RULES[first] !== ILLEGAL) return fault(MALFORMED, `${NAMES[type]} with remaining length ${length}`);
  if (type === 0 || type === 15) return fault(MALFORMED, `reserved packet type ${type}`);
  if (type !== 3) {
    // Only the four with a statement of their own are even and over 5, but for PINGREQ.
    const own = type > 5 && type % 2 === 0 && type !== 12;
    return fault(MALFORMED, `${NAMES[type]} with wrong flags`, own ? `3.${type}.1-1` : "2.2.2-2");
  }
  return (first & 6) === 6 ? fault(MALFORMED, "QoS 3", "3.3.1-4") : fault(MALFORMED, "DUP with QoS 0", "3.3.1-2");
}

/**
 * Reads the fixed header at `at`. Returns the size of the whole packet, or 0 where the header is incomplete.
 * Throws ERR_MALFORMED_PACKET, ERR_PACKET_TOO_LARGE.
 */
export function packetSize(bytes: Uint8Array, at: number, end: number, maxPacketSize: number): number {
  const first = bytes[at]!;
  const rule = RULES[first]!;
  if (rule === ILLEGAL) throw headerFault(first, 0);
  let length = 0;
  for (let size = 1; ; size++) {
    if (size > 4) throw fault(MALFORMED, "remaining length over four bytes");
    if (at + size >= end) return 0;
    const byte = bytes[at + size]!;
    length |= (byte & 0x7f) << (7 * (size - 1));
    if (byte < 0x80) {
      if (rule !== ANY && rule !== length) throw headerFault(first, length);
      const total = 1 + size + length;
      if (total > maxPacketSize) {
        throw fault(TOO_LARGE, `${NAMES[first >> 4]} of ${total} bytes; maxPacketSize is ${maxPacketSize}`);
      }
      return total;
    }
  }
}
