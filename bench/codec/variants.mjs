// The codec from its sources as it is, and with a topic cache that remembers nothing: both by the same bundler, so
// that they differ in nothing else.
import { resolve } from "node:path";
import { build } from "esbuild";

const src = resolve(import.meta.dirname, "../../src/codec");
const NO_CACHE = `
  import { MALFORMED } from "./fault.js";
  import { checkName } from "./topics.js";
  import { readUtf8 } from "./utf8.js";
  export class TopicCache {
    begin() {}
    get(bytes, _view, start, end) {
      const topic = readUtf8(bytes, start, end);
      checkName(topic, MALFORMED);
      return topic;
    }
  }`;

async function load(plugins) {
  const { outputFiles } = await build({
    entryPoints: [resolve(src, "index.ts")],
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    target: "node18",
    plugins,
  });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}

export const cached = await load([]);
export const uncached = await load([
  {
    name: "no-cache",
    setup({ onLoad }) {
      onLoad({ filter: /topic-cache\.ts$/ }, () => ({ contents: NO_CACHE, loader: "js", resolveDir: src }));
    },
  },
]);
