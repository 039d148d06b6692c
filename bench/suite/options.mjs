// The options of a benchmark are those that its opening comment names, which is its --help: what the help says is what is
// accepted, by the runner before anything is measured, and by the benchmark where it is run alone.
//
// [--plain] is a flag. What follows a name says what the option takes: N or M a whole number from 1, LEAST..MOST a whole
// number between them, BYTES one from 0, ..._A_SECOND... any number over 0, A|B one of these, another word some text.
import { readFileSync, readdirSync } from "node:fs";
import { basename, join } from "node:path";

const folder = join(import.meta.dirname, "..");

/** The names of all benchmarks. */
export const known = readdirSync(folder)
  .filter((name) => name.endsWith(".mjs") && name !== "run.mjs")
  .map((name) => name.slice(0, -4));

/** The comment that a benchmark (or the runner) opens with. */
export function about(name) {
  const lines = readFileSync(join(folder, `${name}.mjs`), "utf8").split("\n");
  const end = lines.findIndex((line) => !line.startsWith("//"));
  return lines.slice(0, end).map((line) => line.replace(/^\/\/ ?/, ""));
}

/** In short: the comment's first sentence, or as much of it as a line has room for. */
export function summary(name) {
  const [sentence] = about(name)
    .join(" ")
    .split(/\.(?: |$)/);
  return sentence.length <= 100 ? sentence : `${/^.{0,97}(?= )/.exec(sentence)[0].replace(/[,:]$/, "")} ...`;
}

/** The options of a benchmark: what each takes, or nothing for a flag, by its name with the hyphens. */
export function optionsOf(name) {
  const text = about(name).join("\n");
  const found = [...text.matchAll(/\[(--[\w-]+)(?: ([^\]\s]+))?\]/g)].map(([, option, takes]) => [option, takes]);
  for (const [, other] of text.matchAll(/\[options of (\w+)\]/g)) found.push(...optionsOf(other));
  return new Map(found);
}

/** Every option of any benchmark. */
export const allOptions = () => new Map(known.flatMap((name) => [...optionsOf(name)]));

const WHOLE = /^\d+$/;

/** What is wrong with the value of an option, or nothing. */
export function fault(option, takes, value) {
  if (takes === undefined) return value === undefined ? undefined : `${option} takes no value`;
  if (value === undefined || value === "") return `${option} needs a value: ${takes}`;
  const range = /^(\d+)\.\.(\d+)$/.exec(takes);
  const least = range ? Number(range[1]) : takes === "BYTES" ? 0 : 1;
  const most = range ? Number(range[2]) : Number.MAX_SAFE_INTEGER;
  const not = `not ${JSON.stringify(value)}`;
  if (takes.includes("|")) {
    return takes.split("|").includes(value) ? undefined : `${option} takes ${takes.split("|").join(" or ")}, ${not}`;
  }
  if (takes.includes("_A_SECOND")) return Number(value) > 0 ? undefined : `${option} takes a number over 0, ${not}`;
  if (!range && !["N", "M", "BYTES"].includes(takes)) return undefined;
  const isFine = WHOLE.test(value) && Number(value) >= least && Number(value) <= most;
  const bounds = range ? `from ${least} to ${most}` : `from ${least}`;
  return isFine ? undefined : `${option} takes a whole number ${bounds}, ${not}`;
}

const isNumber = (takes) => /^(N|M|BYTES|\d+\.\.\d+)$|_A_SECOND/.test(takes);

/**
 * Splits arguments, `{ words, options: [option, value][] }`; `takes` tells of an option what it takes, as `optionsOf` has it.
 * Throws an Error whose message is for who typed them.
 */
export function split(args, takes) {
  const [words, options] = [[], []];
  for (let i = 0; i < args.length; i++) {
    if (!args[i].startsWith("-")) {
      words.push(args[i]);
      continue;
    }
    const [, option, joined] = /^([^=]*)(?:=(.*))?$/s.exec(args[i]);
    if (!takes.has(option)) throw new Error(`there is no option ${option}; --help lists them`);
    const wanted = takes.get(option);
    const isApart = wanted !== undefined && joined === undefined && args[i + 1] && !args[i + 1].startsWith("--");
    const value = isApart ? args[++i] : joined;
    const wrong = fault(option, wanted, value);
    if (wrong) throw new Error(wrong);
    options.push([option, value]);
  }
  return { words, options };
}

/** What is wrong with an argument, for who typed it; the process ends with status 2. */
export function refuse(name, message) {
  console.error(`bench: ${name}: ${message}`);
  process.exit(2);
}

const LENGTHS = ["--smoke", "--quick"];

/**
 * The settings of the benchmark that runs: the values of its options without their hyphens, numbers where they are some;
 * and `pick(full, quick, smoke)`, how much to measure. Ends the process with status 2 where an argument is wrong.
 */
export function settings(file) {
  const name = basename(file, ".mjs");
  const own = optionsOf(name);
  const takes = new Map([...own, ...LENGTHS.map((option) => [option, undefined])]);
  const values = {};
  try {
    const { words, options } = split(process.argv.slice(2), takes);
    if (words.length > 0) throw new Error(`${words[0]} is no option; --help lists them`);
    for (const [option, value] of options) {
      const kind = takes.get(option);
      values[option.slice(2)] = kind === undefined ? true : isNumber(kind) ? Number(value) : value;
    }
  } catch (error) {
    refuse(name, error.message);
  }
  return { values, pick: (full, quick, smoke) => (values.smoke ? smoke : values.quick ? quick : full) };
}
