/** The guide (src/cli/README.md) says of every command, option and emulator command what the code says, and nothing else. */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { commandNames, commandOf } from "../../src/cli/cli.js";
import { helpTextOf, type Option } from "../../src/cli/command.js";
import { ACTION_TABLE } from "../../src/cli/emulate-commands.js";
import { deviceOptions } from "../../src/cli/identity.js";

const guide = readFileSync(join(resolve(import.meta.dirname, "../.."), "src/cli/README.md"), "utf8");
const commands = await Promise.all(commandNames.map(commandOf));

/** The text under a heading, up to the next one of its level. */
function section(heading: string): string {
  const [, text] = guide.split(new RegExp(`^## ${heading}$`, "m"));
  expect(text, `the guide has no section ${heading}`).toBeDefined();
  return (text as string).split(/^## /m, 1)[0] as string;
}

const escaped = (text: string): string => text.replaceAll("|", "\\|");

/** The row of an option in a table of the guide. */
function row(name: string, given: Option): string {
  const { short, value } = given;
  const option = `\`--${name}${value ? ` <${escaped(value)}>` : ""}\`${short ? `, \`-${short}\`` : ""}`;
  return `| ${option} | ${escaped(helpTextOf(given))} |`;
}

const rowsOf = (options: Readonly<Record<string, Option>>): string[] =>
  Object.entries(options).map(([name, option]) => row(name, option));

const shared = rowsOf(deviceOptions);

describe("the guide", () => {
  test("explains the options that all devices share", () => {
    expect(section("Being a device").match(/^\| `--.*$/gm)).toEqual(shared);
  });

  test.each(commands)("$name: its usage, and each option that it does not share", ({ name, usage, options }) => {
    const text = section(name);
    expect(text).toContain(`hubwire ${name}${usage && ` ${usage}`}`);
    const own = rowsOf(options).filter((each) => !shared.includes(each));
    expect(text.match(/^\| `--.*$/gm) ?? []).toEqual(own);
  });

  test("emulate: each command of standard input with its fields", () => {
    const rows = ACTION_TABLE.map(({ name, fields, help }) => `| \`${name}\` | ${fields || "–"} | ${escaped(help)} |`);
    expect(section("emulate").match(/^\| `[a-z]\w*` \| (?:\w+\??(?:, )?|–)+ \| .*$/gm)).toEqual(rows);
  });

  test("has a section for each command, and for nothing that is none", () => {
    const headings = [...guide.matchAll(/^## ([a-z]+)$/gm)].map((match) => match[1]);
    expect(headings).toEqual(commandNames);
  });
});
