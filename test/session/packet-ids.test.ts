/** Packet identifiers: whatever an earlier process holds, each is held once, and every one comes back. */
import { expect, test } from "vitest";
import { Publication } from "../../src/session/index.js";
import { PUBACK } from "../../src/session/exchange.js";
import { PacketIds } from "../../src/session/packet-ids.js";

const holding = (packetId: number): Publication =>
  Object.assign(new Publication("t", "", 1, false), { packetId, awaits: PUBACK });

test.each([[[1, 2, 3]], [[255, 256, 257]], [[300, 301, 302, 303, 304]], [[40_000, 65_534, 65_535]], [[]]])(
  "[MQTT-2.3.1-2 +] %j of an earlier process are not handed out before they are free, and then they are",
  (held) => {
    const ids = new PacketIds();
    const earlier = held.map(holding);
    ids.restore(earlier);
    for (const publication of earlier) expect(ids.holder(publication.packetId)).toBe(publication);
    const taken = new Map<number, Publication>();
    const takeAll = (most: number): void => {
      for (let i = 0; i < most; i++) {
        const publication = holding(0);
        if (!ids.take(publication)) return;
        // Asked first: 65,535 expectations take seconds.
        const { packetId } = publication;
        if (!(packetId > 0) || taken.has(packetId)) expect.unreachable(`${packetId} was handed out`);
        taken.set(publication.packetId, publication);
      }
    };
    takeAll(100);
    expect(held.filter((id) => taken.has(id))).toEqual([]);
    for (const publication of earlier) ids.release(publication);
    expect(earlier.map(({ packetId }) => packetId)).toEqual(held.map(() => 0));
    takeAll(70_000);
    expect(taken.size).toBe(65_535);
    expect(ids.holder(taken.get(65_535)!.packetId)).toBe(taken.get(65_535));
  },
);
