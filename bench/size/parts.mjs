// What a bundle is made of: the bytes that each piece of the sources takes in it, minified and deflated.
import { join, relative, resolve } from "node:path";
import { costs } from "./deflate.mjs";

const source = resolve(import.meta.dirname, "../../src");

/** The first that matches a source's path. */
const PIECES = [
  ["codec", /^codec/],
  ["suspicion of poisonous messages", /^session\/suspect/],
  ["texts of errors and what they advise", /^errors|(failures|refusals|explain|activity)\.ts/],
  ["session", /^session/],
  ["WebSocket", /^transport\/(websocket|http)/],
  ["proxies", /^transport\/proxy/],
  ["TCP, TLS", /^transport/],
  ["options, URLs, arguments", /^check|^client\/(options|arguments|address|url|bounds)/],
  ["diagnostics", /^client\/diagnostics/],
  ["client: life, requests, handlers, mailboxes", /^client|^[a-z]+\.ts/],
  [
    "identity, tokens, connection strings",
    /^hub\/(connection|credentials|renewal|edge|workload)|^wire\/(sas|connection)/,
  ],
  ["telemetry, properties", /^hub\/(telemetry|batch)|^wire\/property/],
  ["twins", /^hub\/(twin|desired|reported|merge|json)|^wire\/twin/],
  ["methods, messages, topics, the device client itself", /^(hub|wire)/],
];

/** How everything is bundled and minified whose size is told. */
export const ESBUILD = {
  bundle: true,
  minify: true,
  write: false,
  platform: "node",
  format: "esm",
  target: "node18",
  logLevel: "silent",
};

/** Prints them. `name` of the module `path`, a path in `src`. */
export async function printParts(esbuild, name, path) {
  const { outputFiles } = await esbuild.build({
    stdin: { contents: `export { ${name} } from "./${path}";`, resolveDir: source },
    outdir: source,
    sourcemap: "external",
    ...ESBUILD,
  });
  const [map, code] = outputFiles.sort((one, other) => other.path.length - one.path.length).map(({ text }) => text);
  const each = costs(code);
  const pieces = new Map(PIECES.map(([piece]) => [piece, 0]));
  let all = 0;
  for (const { file, start, end } of stretches(code, JSON.parse(map))) {
    const own = relative(source, join(source, file));
    const [piece] = PIECES.find(([, pattern]) => pattern.test(own));
    let bits = 0;
    for (let at = start; at < end; at++) bits += each[at];
    pieces.set(piece, pieces.get(piece) + bits / 8);
    all += bits / 8;
  }
  console.log(`\nwhat ${name} is made of`);
  for (const [piece, bytes] of pieces) {
    if (bytes > 0)
      console.log(
        `${piece.padEnd(52)}${bytes.toFixed(0).padStart(7)}${((100 * bytes) / all).toFixed(0).padStart(5)} %`,
      );
  }
}

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/** The numbers of a segment of a source map. */
function numbers(segment) {
  const found = [];
  let [value, shift] = [0, 0];
  for (const digit of segment) {
    const bits = DIGITS.indexOf(digit);
    value |= (bits & 31) << shift;
    shift += 5;
    if (bits & 32) continue;
    found.push(value & 1 ? -(value >> 1) : value >> 1);
    value = shift = 0;
  }
  return found;
}

/** The stretches of bytes of `code` that come from one place of a source. */
function* stretches(code, { mappings, sources }) {
  const lines = code.split("\n");
  let [file, lineStart, before] = [0, 0, undefined];
  for (const [index, line] of mappings.split(";").entries()) {
    const text = lines[index];
    let [column, bytes, counted] = [0, 0, 0];
    for (const segment of line ? line.split(",") : []) {
      const [columns, files = 0] = numbers(segment);
      column += columns;
      bytes += Buffer.byteLength(text.slice(counted, column));
      counted = column;
      file += files;
      const start = lineStart + bytes;
      if (before) yield { ...before, end: start };
      before = { file: sources[file], start };
    }
    lineStart += Buffer.byteLength(text) + 1;
  }
  yield { ...before, end: Buffer.byteLength(code) };
}
