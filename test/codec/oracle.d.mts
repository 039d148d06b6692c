import type { Packet } from "../../src/codec/index.js";

export function oracle(bytes: Uint8Array): {
  packets: Packet[];
  end: "complete" | "incomplete" | "malformed";
};
