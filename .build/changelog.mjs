// The CHANGELOG's part in a release.
//
//   node .build/changelog.mjs version       gives "Unreleased" the version that `npm version` just set, and today's date
//   node .build/changelog.mjs notes v1.2.3  prints what is said of that version
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
const file = join(root, "CHANGELOG.md");
const text = readFileSync(file, "utf8");

function fail(message) {
  console.error(`changelog: ${message}`);
  process.exit(1);
}

/** What stands under a heading that begins so, up to the next one. */
function section(heading) {
  const lines = text.split("\n");
  const begin = lines.findIndex((line) => line === `## ${heading}` || line.startsWith(`## ${heading} `));
  if (begin < 0) return "";
  const length = lines.slice(begin + 1).findIndex((line) => line.startsWith("## "));
  return lines
    .slice(begin + 1, length < 0 ? undefined : begin + 1 + length)
    .join("\n")
    .trim();
}

const [command, tag = ""] = process.argv.slice(2);
if (command === "version") {
  if (section("Unreleased") === "") fail("nothing is written under Unreleased");
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const date = new Date().toISOString().slice(0, 10);
  writeFileSync(file, text.replace("## Unreleased\n", `## Unreleased\n\n## ${version} (${date})\n`));
  execFileSync("git", ["add", file], { cwd: root, stdio: "inherit" });
} else if (command === "notes") {
  const notes = section(tag.replace(/^v/, ""));
  if (notes === "") fail(`nothing is written about ${tag}`);
  console.log(notes);
} else {
  fail("say version or notes");
}
