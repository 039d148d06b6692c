// Encoding: `encode` and `PacketWriter` against mqtt-packet's `generate` and against its `writeToStream`, which is what
// MQTT.js uses; each contender of each row in a process of its own (encode-one.mjs; decode.mjs says why).
//
//   node --expose-gc bench/codec/encode.mjs [--rounds N] [--turn MS] [--warm-up MS]
import { parseArgs } from "node:util";
import { progress, report } from "../suite/report.mjs";
import { cases } from "./cases.mjs";
import { mqttPacketPeer, otherCodecs } from "./peers.mjs";
import { lengths, takeTurns } from "./turns.mjs";

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "11" }, ...lengths },
});
const forms = { bytes: "Encoding to bytes of its own", stream: "Encoding into a stream's buffer" };
const names = ["hubwire", ...otherCodecs.map(([name]) => name), mqttPacketPeer.name];

for (const [form, table] of Object.entries(forms)) {
  const rows = [];
  for (const what of Object.keys(cases)) {
    progress(`${table}: ${what}`);
    const options = ["--form", form, "--case", what, "--turn", values.turn, "--warm-up", values["warm-up"]];
    const samples = await takeTurns("encode-one", names, options, Number(values.rounds));
    rows.push({ table, what, unit: "CPU ns a packet", better: "less", ours: "hubwire", values: samples });
  }
  report(rows);
}
