// Rows as text: one table a question, the best first, ratios before absolute numbers, and a sentence on what it means.

export const median = (list) => {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
};
export const geomean = (list) => Math.exp(list.reduce((sum, value) => sum + Math.log(value), 0) / list.length);

/** How many times better `ours` is than a peer: the median of the rounds' ratios; under 1 the peer is better. */
export function gain({ values, ours, better }, peer) {
  const ratios = values[peer].map((value, round) => {
    const mine = values[ours][Math.min(round, values[ours].length - 1)];
    return better === "less" ? value / mine : mine / value;
  });
  return median(ratios);
}

export function number(value) {
  const size = Math.abs(value);
  if (size >= 1000) return Math.round(value).toLocaleString("en");
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

/** The rows by table, in the order in which they came. */
export function grouped(rows) {
  const groups = new Map();
  for (const row of rows) groups.set(row.table, [...(groups.get(row.table) ?? []), row]);
  return groups;
}

/** The peers of a table, the best first. */
export function ranked(rows) {
  const peers = [...new Set(rows.flatMap(({ values }) => Object.keys(values)))];
  const score = (peer) => geomean(rows.filter(({ values }) => values[peer]).map((row) => gain(row, peer)));
  return peers.map((peer) => [peer, score(peer)]).sort((a, b) => a[1] - b[1]);
}

const times = (value) => (value >= 10 ? value.toFixed(0) : value.toFixed(value >= 1 ? 1 : 2));

/** Whether a peer's samples and ours lie apart; one sample each tells nothing about spread, and counts as apart. */
function apart({ values, ours }, peer) {
  const [mine, others] = [values[ours], values[peer]];
  return Math.max(...mine) < Math.min(...others) || Math.min(...mine) > Math.max(...others);
}

/** What must not be taken for a choice. */
const FLOORS = {
  "raw socket": "The raw socket is a floor, not a client: it sends bytes made beforehand and keeps track of nothing.",
  "Paho in C": "Paho in C is a floor: it copies the topic's bytes, and makes no JavaScript string or object of them.",
};

/** What a table means, with the same weight on what is lost. Differences within 5 % are called equal. */
function meaning(rows, ranking) {
  const { ours } = rows[0];
  const many = rows.length > 1;
  const said = ranking
    .filter(([peer]) => peer !== ours)
    .map(([peer, score]) => {
      const held = rows.filter(({ values }) => values[peer]);
      if (!held.some((row) => apart(row, peer))) return `${ours} and ${peer} were not told apart: their ranges overlap`;
      const gains = held.map((row) => gain(row, peer));
      const range = many ? ` in the geometric mean (${times(Math.min(...gains))} to ${times(Math.max(...gains))})` : "";
      const mean = many ? " in the geometric mean" : "";
      const lost = score > 1.05 ? held.filter((row) => gain(row, peer) < 0.95).map(({ what }) => what) : [];
      const except = lost.length > 0 ? `, and loses in: ${lost.join(", ")}` : "";
      if (score > 1.05) return `${ours} is ${times(score)} times better than ${peer}${range}${except}`;
      if (score < 0.95) return `${ours} loses to ${peer}, which is ${times(1 / score)} times better${mean}`;
      return `${ours} and ${peer} are equal within 5 %${range}`;
    });
  const notes = ranking.map(([peer]) => FLOORS[peer]).filter(Boolean);
  return said.length > 0 ? [`${said.join("; ")}.`, ...notes].join(" ") : "";
}

function layout(lines) {
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  return lines
    .map((line) => line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join("  "))
    .join("\n");
}

function table(title, rows) {
  const ranking = ranked(rows);
  const peers = ranking.map(([peer]) => peer);
  const { unit, better, ours } = rows[0];
  const alone = peers.length === 1;
  const cell = (row, peer, show) => (row.values[peer] ? show(row, peer) : "-");
  const absolute = ({ values }, peer) => {
    const list = values[peer];
    if (list.length === 1) return number(list[0]);
    return `${number(median(list))} (${number(Math.min(...list))} to ${number(Math.max(...list))})`;
  };
  // The ratios first, then the absolute figures, whose unit the title says.
  const lines = [
    ["", ...(alone ? [] : peers.map((peer) => (peer === ours ? peer : `/ ${peer}`))), ...peers],
    ...rows.map((row) => [
      row.what,
      ...(alone
        ? []
        : peers.map((peer) => (peer === ours ? "1" : cell(row, peer, () => `${times(gain(row, peer))}x`)))),
      ...peers.map((peer) => cell(row, peer, absolute)),
    ]),
  ];
  const legend = alone ? "" : `; "/ peer": how many times better ${ours} is`;
  const sentence = meaning(rows, ranking);
  return `\n${title} (${unit}; ${better} is better${legend})\n\n${layout(lines)}\n${sentence && `\n${sentence}\n`}`;
}

export function tables(rows, skipped = []) {
  const text = [...grouped(rows)].map(([title, list]) => table(title, list)).join("");
  return text + skipped.map((reason) => `left out: ${reason}\n`).join("");
}
