/**
 * Before the tests: the runtimes, installed once into the user's cache, and the package as npm would publish it, in a
 * project of its own together with the programs that the tests run.
 */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, writeFileSync } from "node:fs";
import { arch, homedir, platform } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { installPackage } from "../support/packed.js";
import { bunVersion, denoVersion, nodeVersions, postjectVersion } from "./versions.js";

declare module "vitest" {
  export interface ProvidedContext {
    /** Folder of the installed runtimes. */
    runtimes: string;
    /** Folder of the project that has the package installed. */
    project: string;
  }
}

/** `node_modules` with every runtime; npm's own `node` package takes its programs from the same packages. */
function installRuntimes(): string {
  const packages = [
    ...Object.entries(nodeVersions).map(
      ([line, version]) => `node-${line}@npm:node-${platform()}-${arch()}@${version}`,
    ),
    `bun@${bunVersion}`,
    `deno@${denoVersion}`,
    `postject@${postjectVersion}`,
  ];
  const versions = packages.map((name) => name.slice(name.lastIndexOf("@") + 1)).join("_");
  const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "hubwire-runtimes");
  const folder = join(cache, versions);
  if (!existsSync(folder)) {
    mkdirSync(cache, { recursive: true });
    const next = mkdtempSync(join(cache, "next-"));
    writeFileSync(join(next, "package.json"), JSON.stringify({ private: true }));
    // Bun's and Deno's packages put their program in place when they are installed.
    const flags = ["--no-audit", "--no-fund", "--no-package-lock", "--loglevel=error"];
    execFileSync("npm", ["install", ...flags, ...packages], { cwd: next, stdio: ["ignore", "ignore", "inherit"] });
    // Only what was installed completely gets the name that is looked for.
    renameSync(next, folder);
  }
  return join(folder, "node_modules");
}

export default function setup({ provide }: TestProject): () => void {
  provide("runtimes", installRuntimes());
  const { folder, remove } = installPackage();
  cpSync(join(import.meta.dirname, "programs"), folder, { recursive: true });
  provide("project", folder);
  return remove;
}
