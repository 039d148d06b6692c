/**
 * Files that a command writes.
 *
 * Invariant: whoever reads one finds it as it was or as it is meant to be, never half of it, whenever the process is
 * killed or the machine loses power: a new file is written, brought to the disk, and then takes the old one's place.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { Failure } from "./command.js";

/** Writes a file with `mode` whatever the file had before. Throws Failure, which names `option` and not the path. */
export function writeFileSafely(option: string, path: string, text: string, mode: number): void {
  try {
    const target = existsSync(path) ? realpathSync(path) : path;
    // A pipe or device keeps its place.
    if (existsSync(target) && !statSync(target).isFile()) writeFileSync(target, text);
    else replaceFile(target, text, mode);
  } catch (error) {
    throw new Failure(`--${option}: the file cannot be written (${(error as { code?: string }).code ?? "unknown"})`);
  }
}

function replaceFile(path: string, text: string, mode: number): void {
  const next = join(dirname(path), `.${basename(path)}.${process.pid}.new`);
  try {
    // What an earlier process of the same number left behind has no claim to its mode or content.
    rmSync(next, { force: true });
    const file = openSync(next, "wx", mode);
    try {
      const bytes = Buffer.from(text);
      for (let written = 0; written < bytes.length;) written += writeSync(file, bytes, written);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(next, path);
    syncFolder(dirname(path));
  } catch (error) {
    rmSync(next, { force: true });
    throw error;
  }
}

/** Brings the new name to the disk. Windows opens no folders, and does it by itself. */
function syncFolder(path: string): void {
  if (process.platform === "win32") return;
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
