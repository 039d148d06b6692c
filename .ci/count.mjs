// Adds up what ran and prints `N passed, N failed` as the very last line. Tests are counted from their runners' own
// reports; a step without a report (the demo, the fuzz run, ...) is one check. A report that is missing, a skipped
// test, a file that does not load, and a runner that fails without a failed test each count as a failure.
//
//   node .ci/count.mjs NAME=STATUS[=REPORT] ...
import { readFileSync } from "node:fs";

let passed = 0;
let failed = 0;

function countReport(path) {
  const report = JSON.parse(readFileSync(path, "utf8"));
  const skipped = report.numPendingTests + (report.numTodoTests ?? 0);
  const broken = report.testResults.filter(
    ({ status, assertionResults }) => status === "failed" && !assertionResults.some((test) => test.status === "failed"),
  ).length;
  return { passed: report.numPassedTests, failed: report.numFailedTests, skipped, broken };
}

for (const argument of process.argv.slice(2)) {
  const [name, status, path] = argument.split("=");
  if (path === undefined) {
    if (status === "0") passed++;
    else failed++;
    console.log(`${name}: ${status === "0" ? "passed" : `failed with status ${status}`}`);
    continue;
  }
  try {
    const counts = countReport(path);
    const bad = counts.failed + counts.skipped + counts.broken;
    passed += counts.passed;
    failed += bad > 0 || (status === "0" && counts.passed > 0) ? bad : 1;
    console.log(
      `${name}: ${Object.entries(counts)
        .map(([what, count]) => `${count} ${what}`)
        .join(", ")}, status ${status}`,
    );
  } catch (error) {
    failed++;
    console.log(`${name}: no report, status ${status} (${error.code ?? error.message})`);
  }
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
