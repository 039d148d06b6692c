// Makes one file of a module of this folder and the sources that it imports.
import { resolve } from "node:path";
import { rolldown } from "rolldown";
import { counting } from "./count.mjs";

const root = resolve(import.meta.dirname, "../..");

/** Whose work is counted. */
const COUNTED = /^src\/(session|client|hub)\/|^src\/transport\/(output|connection)\.ts$/;

/**
 * Writes `{name}.js` into `folder`.
 *
 * @param {string} name of a module of this folder
 * @param {string} folder
 * @param {(file: string, text: string) => string} [edit] changes a source file, named from the top of the repository
 */
export async function bundle(name, folder, edit = (_file, text) => text) {
  const change = (file, text) => {
    // It is there for what it does, whatever package.json says of the package.
    if (file.endsWith("/quiet.ts")) return { code: text, moduleSideEffects: true };
    if (!file.startsWith(`${root}/src`)) return undefined;
    const source = file.slice(root.length + 1);
    const edited = edit(source, text);
    return COUNTED.test(source) ? counting(edited) : edited;
  };
  const build = await rolldown({
    input: resolve(import.meta.dirname, `${name}.ts`),
    external: /^node:/,
    platform: "node",
    checks: { pluginTimings: false },
    resolve: { extensionAlias: { ".js": [".ts"] } },
    plugins: [{ name: "edit", transform: (text, file) => change(file, text) }],
  });
  await build.write({ dir: folder, format: "esm", minify: false });
  await build.close();
}
