import { defineConfig } from "vitest/config";

/** What needs the built package, a broker or processes of its own, or takes many seconds. */
const slow = [
  "test/{package,readme,faults,model,simulation,soak}{,.*,/**/*}.test.ts",
  "test/**/{mosquitto,process,memory,oracle,long}*.test.ts",
  "test/{client/file-store,client/file-store-disk,client/file-store-full,emulator/hostile}.test.ts",
];
const elsewhere = ["test/{interop,runtimes}/**", "**/node_modules/**"];

export default defineConfig({
  test: {
    root: new URL("..", import.meta.url).pathname,
    testTimeout: 30_000,
    projects: [
      { extends: true, test: { name: "fast", include: ["test/**/*.test.ts"], exclude: [...slow, ...elsewhere] } },
      { extends: true, test: { name: "slow", include: slow, exclude: elsewhere } },
    ],
  },
});
