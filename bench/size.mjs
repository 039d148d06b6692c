// Size of what a program takes from the package, minified and gzipped: whole entries, and one name each, with three
// bundlers. Each bundle of one name is run. The package is installed as npm would publish it.
//
//   npm run bench -- size [--parts]
//
// --parts tells what the clients are made of, from the sources; with --smoke, what no budget needs is left out.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { nodeResolve } from "@rollup/plugin-node-resolve";
import * as esbuild from "esbuild";
import { rollup, VERSION as rollupVersion } from "rollup";
import webpack from "webpack";
import { budget, finish } from "./budgets/budgets.mjs";
import { size as limits } from "./budgets/limits.mjs";
import { settings } from "./suite/options.mjs";
import { ESBUILD, printParts } from "./size/parts.mjs";

const { values, pick } = settings(import.meta.filename);
const smoke = pick(false, true, true);
const root = resolve(import.meta.dirname, "..");
const project = mkdtempSync(join(tmpdir(), "hubwire-size-"));
process.on("exit", () => rmSync(project, { recursive: true }));

const packed = JSON.parse(
  execFileSync("npm", ["pack", "--ignore-scripts", "--json", "--loglevel=error", "--pack-destination", project], {
    cwd: root,
    encoding: "utf8",
  }),
)[0];
mkdirSync(join(project, "node_modules/hubwire"), { recursive: true });
const archive = join(project, packed.filename);
execFileSync("tar", ["-xzf", archive, "-C", join(project, "node_modules/hubwire"), "--strip-components=1"]);

const gzipped = (code) => gzipSync(code, { level: 9 }).length;

/** Each way takes the text of a module and the folder that it resolves from, and returns the minified bundle. */
const bundlers = {
  async esbuild(contents, resolveDir = project) {
    const { outputFiles } = await esbuild.build({
      stdin: { contents, resolveDir },
      ...ESBUILD,
      legalComments: "none",
    });
    return outputFiles[0].text;
  },
  // Rollup does not minify; esbuild does it for it.
  async rollup(contents) {
    const input = join(project, "rollup.mjs");
    writeFileSync(input, contents);
    const bundle = await rollup({ input, external: /^node:/, plugins: [nodeResolve()], onwarn() {} });
    const { output } = await bundle.generate({ format: "esm", inlineDynamicImports: true });
    await bundle.close();
    return (await esbuild.transform(output[0].code, { minify: true, format: "esm", target: "node18" })).code;
  },
  webpack(contents) {
    const entry = join(project, "webpack.mjs");
    writeFileSync(entry, contents);
    const compiler = webpack({
      entry,
      context: project,
      mode: "production",
      target: "node18",
      experiments: { outputModule: true },
      output: { path: project, filename: "webpack.out.mjs", library: { type: "module" }, chunkFormat: "module" },
      optimization: { splitChunks: false },
      plugins: [new webpack.optimize.LimitChunkCountPlugin({ maxChunks: 1 })],
    });
    return new Promise((done, failed) =>
      compiler.run((error, stats) => {
        if (error || stats.hasErrors()) return failed(error ?? new Error(stats.toString()));
        compiler.close(() => done(readFileSync(join(project, "webpack.out.mjs"), "utf8")));
      }),
    );
  },
};

/** One name a row: where it is, what it must do once it is bundled. */
const connectionString = "HostName=h.azure-devices.net;DeviceId=d;SharedAccessKey=a2V5";
const names = [
  ["encode", "hubwire/codec", ({ encode }) => encode({ type: "pingreq" }).length === 2],
  ["decode", "hubwire/codec", ({ decode }) => decode(new Uint8Array([0xc0, 0])).type === "pingreq"],
  [
    "createSasToken",
    "hubwire",
    ({ createSasToken }) =>
      createSasToken({ hostName: "h", deviceId: "d", key: "a2V5", expiry: 2e9 }).startsWith("SharedAccessSignature "),
  ],
  [
    "parseConnectionString",
    "hubwire",
    ({ parseConnectionString }) => parseConnectionString(connectionString).deviceId === "d",
  ],
  ["HubwireError", "hubwire", ({ HubwireError }) => new HubwireError("ERR_CLOSED", "x").code === "ERR_CLOSED"],
  [
    "MqttClient",
    "hubwire/mqtt",
    ({ MqttClient }) => !new MqttClient({ host: "h", clientId: "c", protocol: "mqtt" }).connected,
  ],
  ["DeviceClient", "hubwire", ({ DeviceClient }) => !new DeviceClient(connectionString).connected],
];

const version = (name) => createRequire(import.meta.url)(`${name}/package.json`).version;
console.log(
  `minified and gzipped (-9), bytes; esbuild ${esbuild.version}, rollup ${rollupVersion}, webpack ${webpack.version}; ` +
    `mqtt ${version("mqtt")}, mqtt-packet ${version("mqtt-packet")}\n`,
);

const heading = Object.keys(bundlers).map((name) => name.padStart(9));
console.log(`${"one name".padEnd(24)}${heading.join("")}`);
const single = new Map();
for (const [name, path, works] of names) {
  const row = [];
  for (const [bundler, bundle] of Object.entries(bundlers)) {
    const code = await bundle(`export { ${name} } from "${path}";`);
    const file = join(project, `${bundler}-${name}.mjs`);
    writeFileSync(file, code);
    if (!works(await import(pathToFileURL(file)))) throw new Error(`${name}, bundled by ${bundler}, does not work`);
    row.push(gzipped(code));
  }
  single.set(name, row[0]);
  console.log(`${name.padEnd(24)}${row.map((size) => String(size).padStart(9)).join("")}`);
}

/** What is loaded at once where the bundle is split; what an `import()` asks for stays in files of its own. */
async function atOnce(name, path) {
  const { outputFiles, metafile } = await esbuild.build({
    stdin: { contents: `export { ${name} } from "${path}";`, resolveDir: project },
    bundle: true,
    splitting: true,
    minify: true,
    write: false,
    metafile: true,
    outdir: join(project, "split"),
    absWorkingDir: project,
    platform: "node",
    format: "esm",
    target: "node18",
    logLevel: "silent",
  });
  const files = new Set(Object.keys(metafile.outputs).filter((file) => file.endsWith("/stdin.js")));
  for (const file of files) {
    const { imports } = metafile.outputs[file];
    for (const { path, kind, external } of imports) if (kind === "import-statement" && !external) files.add(path);
  }
  const wanted = [...files].map((file) => join(project, file));
  return outputFiles
    .filter(({ path }) => wanted.includes(path))
    .reduce((sum, { contents }) => sum + gzipped(contents), 0);
}

console.log("\nof which loaded at once, where esbuild splits the bundle");
for (const [name, path] of names.slice(-2)) {
  console.log(`${name.padEnd(24)}${String(await atOnce(name, path)).padStart(9)}`);
}

if (values.parts) {
  await printParts(esbuild, "MqttClient", "client/index.ts");
  await printParts(esbuild, "DeviceClient", "hub/index.ts");
}

const whole = async (...paths) => {
  const code = await bundlers.esbuild(paths.map((path) => `export * from "${path}";`).join(""));
  return { minified: code.length, gzipped: gzipped(code) };
};
if (!smoke) {
  const rows = [
    ["hubwire/codec", await whole("hubwire/codec")],
    ["hubwire/mqtt", await whole("hubwire/mqtt")],
    ["hubwire", await whole("hubwire")],
    ["all but the emulator", await whole("hubwire", "hubwire/mqtt", "hubwire/codec", "hubwire/file-store")],
    ["hubwire/emulator", await whole("hubwire/emulator")],
  ];
  for (const peer of ["mqtt", "mqtt-packet"]) {
    const code = await bundlers.esbuild(`export * from "${peer}";`, import.meta.dirname);
    rows.push([peer, { minified: code.length, gzipped: gzipped(code) }]);
  }
  console.log(`\n${"whole entries, esbuild".padEnd(24)} minified  gzipped`);
  for (const [name, { minified, gzipped }] of rows) {
    console.log(`${name.padEnd(24)}${String(minified).padStart(9)}${String(gzipped).padStart(9)}`);
  }
}
console.log(
  `\ninstalled: 1 package, ${packed.entryCount} files, ${packed.unpackedSize} bytes, ${packed.size} to download\n`,
);

for (const [name, limit] of Object.entries(limits)) {
  if (name === "codec") budget("hubwire/codec, whole", (await whole("hubwire/codec")).gzipped, limit, "B");
  else budget(`${name} alone`, single.get(name), limit, "B");
}
finish();
