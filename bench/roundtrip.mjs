// A direct method and a twin read, one at a time, against the emulator in a process of its own: the time there and back,
// and the CPU of the device. hubwire and Microsoft's SDK, in turn. The emulator is in the time of both alike.
//
//   npm run bench -- roundtrip [--times N] [--rounds N]
import { settings } from "./suite/options.mjs";
import { column, interleaved, report } from "./suite/report.mjs";
import { client, hasSdk, others, sdkSkipped, sdkVersions, startBroker } from "./suite/parties.mjs";

const { values, pick } = settings(import.meta.filename);
const rounds = values.rounds ?? pick(5, 3, 1);
const times = values.times ?? pick(3_000, 500, 100);
const hub = await startBroker("roundtrip/hub.mjs");
const { port, ca, connectionString } = hub;
const peers = ["hubwire", ...others, ...(hasSdk ? ["Microsoft's SDK"] : [])];

for (const kind of ["method", "twin"]) {
  const results = await interleaved(peers, rounds, `${kind} there and back`, (peer) => {
    const run = { peer, kind, port, ca, connectionString, times, warmup: Math.ceil(times / 3) };
    return client("roundtrip/device.mjs", run);
  });
  const what = kind === "method" ? "a method call" : "a twin read";
  const row = { what, better: "less", ours: "hubwire" };
  const table = "There and back at a hub, one at a time";
  const cpu = column(results, (result) => result.cpu);
  report([
    { ...row, table: `${table}: median time`, unit: "µs", values: column(results, ({ p50 }) => p50) },
    { ...row, table: `${table}: CPU of the device`, unit: "µs", values: cpu },
  ]);
}
report([], sdkSkipped, sdkVersions);
hub.stop();
