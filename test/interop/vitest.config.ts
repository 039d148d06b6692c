import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    root: fileURLToPath(new URL("../..", import.meta.url)),
    include: ["test/interop/**/*.test.ts"],
    exclude: ["**/node_modules/**"],
    // A hang must fail, a busy machine must not: nothing here waits longer than for its events.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
