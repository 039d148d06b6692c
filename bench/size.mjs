// Size: each sub-path bundled and minified by esbuild, then gzipped; MQTT.js the same way beside it; and what the
// package weighs when it is installed.
//
//   npm run bench -- size
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { build, version as esbuildVersion } from "esbuild";

const root = resolve(import.meta.dirname, "..");

async function measure(contents) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: import.meta.dirname, loader: "js" },
    bundle: true,
    minify: true,
    write: false,
    platform: "node",
    format: "esm",
    target: "node18",
    legalComments: "none",
    logLevel: "silent",
  });
  const [{ contents: code }] = outputFiles;
  return { minified: code.length, gzipped: gzipSync(code, { level: 9 }).length };
}

const dist = (path) => `export * from ${JSON.stringify(join(root, "dist", path))};`;
const rows = [
  ["hubwire/codec", dist("codec/index.js"), 4],
  ["hubwire/mqtt (client with codec)", dist("client/index.js"), 10],
  [
    "hubwire (all but emulator and command line)",
    dist("hub/index.js") + dist("client/index.js") + dist("client/file-store.js") + dist("codec/index.js"),
    16,
  ],
  [
    "  of which only what DeviceClient needs",
    `export { DeviceClient } from ${JSON.stringify(join(root, "dist/hub/index.js"))};`,
    undefined,
  ],
  ["hubwire/emulator", dist("emulator/index.js"), undefined],
  ["MQTT.js (mqtt)", `export * from "mqtt";`, undefined],
  ["mqtt-packet", `export * from "mqtt-packet";`, undefined],
];
const version = (name) =>
  JSON.parse(readFileSync(join(import.meta.dirname, "node_modules", name, "package.json"), "utf8")).version;
console.log(
  `size, bundled and minified by esbuild ${esbuildVersion} for node18, gzip -9; mqtt ${version("mqtt")}, mqtt-packet ${version("mqtt-packet")}\n`,
);
for (const [name, contents, budget] of rows) {
  const { minified, gzipped } = await measure(contents);
  const kib = (bytes) => `${(bytes / 1024).toFixed(2).padStart(7)} KiB`;
  console.log(
    `${name.padEnd(44)} ${kib(minified)} minified ${kib(gzipped)} gzipped${budget ? `   budget ${budget} KiB` : ""}`,
  );
}
const [pack] = JSON.parse(
  execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts", "--loglevel=error"], {
    cwd: root,
    encoding: "utf8",
  }),
);
console.log(
  `\ninstalled: 1 package, ${pack.entryCount} files, ${(pack.unpackedSize / 1024).toFixed(0)} KiB unpacked, ${(pack.size / 1024).toFixed(0)} KiB to download`,
);
