/** The tests of one target of run.mjs, without those that take too long to run them for every mutant. */
import { defineConfig } from "vitest/config";

const list = (name: string) => (process.env[name] ?? "").split(",").filter(Boolean);

export default defineConfig({
  test: {
    root: new URL("../..", import.meta.url).pathname,
    include: list("MUTATION_TESTS"),
    exclude: list("MUTATION_SLOW"),
    testTimeout: 30_000,
  },
});
