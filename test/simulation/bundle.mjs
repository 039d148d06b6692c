// Makes one file of a module of this folder and the sources that it imports.
import { resolve } from "node:path";
import { rolldown } from "rolldown";

const root = resolve(import.meta.dirname, "../..");

/**
 * Writes `{name}.js` into `folder`.
 *
 * @param {string} name of a module of this folder
 * @param {string} folder
 * @param {(file: string, text: string) => string} [edit] changes a source file, named from the top of the repository
 */
export async function bundle(name, folder, edit) {
  const build = await rolldown({
    input: resolve(import.meta.dirname, `${name}.ts`),
    external: /^node:/,
    platform: "node",
    resolve: { extensionAlias: { ".js": [".ts"] } },
    plugins: edit
      ? [
          {
            name: "edit",
            transform: (text, file) => (file.startsWith(root) ? edit(file.slice(root.length + 1), text) : text),
          },
        ]
      : [],
  });
  await build.write({ dir: folder, format: "esm", minify: false });
  await build.close();
}
