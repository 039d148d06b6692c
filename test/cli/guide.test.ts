/** The guide (src/cli/README.md) says of every command, option and emulator command what the code says, and nothing else. */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { commandNames, commandOf } from "../../src/cli/cli.js";
import { helpTextOf, type Option, parse } from "../../src/cli/command.js";
import { ACTION_TABLE } from "../../src/cli/emulate-commands.js";
import { deviceOptions } from "../../src/cli/identity.js";

const root = resolve(import.meta.dirname, "../..");
const guide = readFileSync(join(root, "src/cli/README.md"), "utf8");
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

/** The words of a shell's line up to what follows the command, without their quotes. */
function wordsOf(line: string): string[] {
  const words = line.match(/(?:'[^']*'|"[^"]*"|<\([^)]*\)|[^\s'"<>|&#)])+|[<>|&#)]/g) ?? [];
  const end = words.findIndex((word) => /^[<>|&#)]$/.test(word));
  return words.slice(0, end < 0 ? undefined : end).map((word) => word.replace(/(['"])(.*?)\1/g, "$2"));
}

describe("the command lines in guides", () => {
  const lines = ["README.md", "src/cli/README.md", "src/emulator/README.md"].flatMap((name) =>
    [...readFileSync(join(root, name), "utf8").matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(([, block = ""]) =>
      [...block.matchAll(/(?<![\w/-])hubwire ([a-z]+(?: .*)?)$/gm)].map(([, line = ""]) => line),
    ),
  );

  test("are there", () => {
    expect(lines.length).toBeGreaterThan(15);
  });

  test.each(lines)("hubwire %s", async (line) => {
    const [name = "", ...args] = wordsOf(line);
    const command = await commandOf(name);
    const { positionals } = parse(command, args);
    // As many as its usage line has.
    expect(positionals.length).toBeLessThanOrEqual([...command.usage.matchAll(/\[</g)].length);
  });
});
