// Adds up the runners' own reports and prints `N passed, N failed` as the very last line. A report that is missing,
// a test that was skipped and a step that failed without a failed test each count as a failure.
import { readFileSync } from "node:fs";

let passed = 0;
let failed = 0;
for (const argument of process.argv.slice(2)) {
  const [kind, name, value] = argument.split("=");
  if (kind === "step") {
    if (value === "0") passed++;
    else failed++;
    console.log(`step ${name}: ${value === "0" ? "done" : `failed with status ${value}`}`);
    continue;
  }
  try {
    const report = JSON.parse(readFileSync(value, "utf8"));
    const skipped = report.numPendingTests + (report.numTodoTests ?? 0);
    // A file that fails to load has no test to fail, but its suite says so.
    const broken = report.testResults.filter((file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed")).length;
    passed += report.numPassedTests;
    failed += report.numFailedTests + skipped + broken;
    if (report.numTotalTests === 0) failed++;
    console.log(`tests ${name}: ${report.numPassedTests} passed, ${report.numFailedTests} failed, ${skipped} skipped, ${broken} files broken`);
  } catch (error) {
    failed++;
    console.log(`tests ${name}: no report (${error.message})`);
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
