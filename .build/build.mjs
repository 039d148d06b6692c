// Makes `dist/` from `src`: the code by rolldown, a chunk for what several entries share and for what is only loaded
// with `import()`; the declarations by the compiler.
import { execFileSync } from "node:child_process";
import { renameSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { rolldown } from "rolldown";

const root = resolve(import.meta.dirname, "..");
const next = join(root, ".build/next");
const entries = ["hub/index", "client/index", "codec/index", "client/file-store", "emulator/index", "cli/main", "wire/index"];

rmSync(next, { recursive: true, force: true });
const bundle = await rolldown({
  input: Object.fromEntries(entries.map((entry) => [entry, join(root, "src", `${entry}.ts`)])),
  external: /^node:/,
  platform: "node",
  resolve: { extensionAlias: { ".js": [".ts"] } },
});
await bundle.write({ dir: next, format: "esm", chunkFileNames: "shared/[name].js", minify: false });
await bundle.close();
execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", "src", "--emitDeclarationOnly", "--outDir", next], {
  cwd: root,
  stdio: "inherit",
});

// Swapped in at once, so that a program which imports `dist/` never sees half of it.
const [dist, old] = [join(root, "dist"), join(root, ".build/old")];
rmSync(old, { recursive: true, force: true });
try {
  renameSync(dist, old);
} catch (error) {
  if (error.code !== "ENOENT") throw error;
}
renameSync(next, dist);
rmSync(old, { recursive: true, force: true });
console.log("built dist/");
