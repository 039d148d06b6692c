import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    root: fileURLToPath(new URL("../..", import.meta.url)),
    include: ["test/runtimes/**/*.test.ts"],
    exclude: ["**/node_modules/**"],
    globalSetup: "test/runtimes/setup.ts",
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
