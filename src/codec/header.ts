/**
 * The fixed header (section 2.2): packet types, their flags, and what remaining lengths they may have.
 *
 * A remaining length in more bytes than it needs is accepted: MQTT 3.1.1 limits the field to four bytes and,
 * unlike MQTT 5, does not ask for the shortest form (section 2.2.3).
 */
import { MALFORMED, TOO_LARGE, fault } from "./fault.js";

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

/** By type number, the only legal first byte but for PUBLISH: PUBREL, SUBSCRIBE and UNSUBSCRIBE carry 0010. */
export const FIRST_BYTES = [-1, 0x10, 0x20, 0x30, 0x40, 0x50, 0x62, 0x70, 0x82, 0x90, 0xa2, 0xb0, 0xc0, 0xd0, 0xe0];

const ANY = -1;

/** By type number, the only legal remaining length, or ANY. */
const LENGTHS = [ANY, ANY, 2, ANY, 2, 2, 2, 2, ANY, ANY, ANY, 2, 0, 0, 0];

/** Throws where `first`, which is not the only one of its type, is none of a PUBLISH's. */
function checkFlags(first: number): void {
  const type = first >> 4;
  if (type === 3) {
    if ((first & 6) === 6) throw fault(MALFORMED, "QoS 3", "3.3.1-4");
    if ((first & 14) === 8) throw fault(MALFORMED, "DUP with QoS 0", "3.3.1-2");
    return;
  }
  if (!NAMES[type]) throw fault(MALFORMED, `reserved packet type ${type}`);
  // Only the four with a statement of their own are even and over 5, but for PINGREQ.
  const own = type > 5 && type % 2 === 0 && type !== 12;
  throw fault(MALFORMED, `${NAMES[type]} with wrong flags`, own ? `3.${type}.1-1` : "2.2.2-2");
}

/**
 * Reads the fixed header at `at`. Returns the size of the whole packet, or 0 where the header is incomplete.
 * Throws ERR_MALFORMED_PACKET, ERR_PACKET_TOO_LARGE.
 */
export function packetSize(bytes: Uint8Array, at: number, end: number, maxPacketSize: number): number {
  const first = bytes[at]!;
  const type = first >> 4;
  if (first !== FIRST_BYTES[type]) checkFlags(first);
  const only = LENGTHS[type]!;
  let length = 0;
  for (let size = 1; ; size++) {
    if (size > 4) throw fault(MALFORMED, "remaining length over 4 bytes");
    if (at + size >= end) return 0;
    const byte = bytes[at + size]!;
    length |= (byte & 0x7f) << (7 * (size - 1));
    if (byte < 0x80) {
      if (only !== ANY && only !== length) throw fault(MALFORMED, `${NAMES[type]} with remaining length ${length}`);
      const total = 1 + size + length;
      if (total > maxPacketSize) {
        throw fault(TOO_LARGE, `${NAMES[type]} of ${total} bytes; maxPacketSize is ${maxPacketSize}`);
      }
      return total;
    }
  }
}
