/** The package as npm would publish it, in a project of its own. `dist/` must be built. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "../..");

export interface PackedProject {
  /** The project's folder; `node_modules/hubwire` is in it. */
  readonly folder: string;
  /** The package's folder there. */
  readonly installed: string;
  /** The file that would be published. */
  readonly tarball: string;
  remove(): void;
}

/** Packs the package and unpacks it where a program of the project finds it; no scripts run, no registry is asked. */
export function installPackage(): PackedProject {
  const folder = mkdtempSync(join(tmpdir(), "hubwire-package-"));
  const pack = ["pack", "--ignore-scripts", "--json", "--loglevel=error", "--pack-destination", folder];
  const [{ filename }] = JSON.parse(execFileSync("npm", pack, { cwd: root, encoding: "utf8" })) as [
    { filename: string },
  ];
  const tarball = join(folder, filename);
  const installed = join(folder, "node_modules/hubwire");
  mkdirSync(installed, { recursive: true });
  execFileSync("tar", ["-xzf", tarball, "-C", installed, "--strip-components=1"]);
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true }));
  return { folder, installed, tarball, remove: () => rmSync(folder, { recursive: true }) };
}
