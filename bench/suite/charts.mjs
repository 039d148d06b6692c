// Rows as SVG charts: horizontal bars of medians, a mark for the spread. One file reads well on light and on dark paper,
// because its colours follow the reader's preference.
import { grouped, median, number, ranked } from "./tables.mjs";

const escape = (text) => text.replace(/[&<>"]/g, (found) => `&#${found.charCodeAt(0)};`);
const STYLE =
  "text{font:13px system-ui,sans-serif;fill:#1f2328}.t{font-size:15px;font-weight:600}.s{fill:#59636e}.o{fill:#0969da}.p{fill:#afb8c1}" +
  ".r{stroke:#1f2328;stroke-width:1.5}@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.s{fill:#9198a1}.o{fill:#4493f8}" +
  ".p{fill:#656c76}.r{stroke:#f0f6fc}}";
const [WIDTH, BAR] = [300, 18];
/** Of a letter of 13 px and of the title, at most on average: no font that stands for system-ui is wider. */
const [LETTER, TITLE_LETTER] = [7.4, 9.3];

/** Words in as many lines as they need, of at most `room` letters. */
function wrapped(text, room) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (longer.length <= room) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

/** `[file name, SVG]` of each table that compares with a peer. */
export function charts(rows, note) {
  return [...grouped(rows)]
    .filter(([, list]) => list.some(({ values }) => Object.keys(values).length > 1))
    .map(([title, list]) => [
      `${title
        .toLowerCase()
        .replace(/[^a-z0-9]+/g, "-")
        .replace(/^-|-$/g, "")}.svg`,
      chart(title, list, note),
    ]);
}

function chart(title, rows, note) {
  const order = ranked(rows).map(([peer]) => peer);
  const { unit, better, ours } = rows[0];
  const most = Math.max(...rows.flatMap(({ values }) => Object.values(values).flat()));
  const left = Math.max(230, 20 + LETTER * Math.max(...order.map((peer) => peer.length)));
  const x = (value) => left + (value / most) * WIDTH;
  const parts = [];
  let y = 58;
  for (const row of rows) {
    if (rows.length > 1) {
      parts.push(`<text x="12" y="${y + 13}">${escape(row.what)}</text>`);
      y += BAR + 2;
    }
    for (const peer of order.filter((name) => row.values[name])) {
      const list = row.values[peer];
      const middle = y + BAR / 2 - 1;
      parts.push(
        `<text class="s" x="${left - 8}" y="${y + 13}" text-anchor="end">${escape(peer)}</text>`,
        `<rect class="${peer === ours ? "o" : "p"}" x="${left}" y="${y}" width="${Math.max(1, x(median(list)) - left).toFixed(1)}" height="${BAR - 3}" rx="2"/>`,
        `<line class="r" x1="${x(Math.min(...list)).toFixed(1)}" x2="${x(Math.max(...list)).toFixed(1)}" y1="${middle}" y2="${middle}"/>`,
        `<text x="${(x(Math.max(...list)) + 6).toFixed(1)}" y="${y + 13}">${number(median(list))}</text>`,
      );
      y += BAR;
    }
    y += 8;
  }
  const longest = Math.max(0, ...rows.map(({ what }) => LETTER * what.length), TITLE_LETTER * title.length);
  const width = Math.ceil(Math.max(left + WIDTH + 90, 24 + longest));
  const foot = wrapped(note, Math.floor((width - 24) / LETTER));
  const height = y + 4 + 18 * foot.length;
  for (const [i, line] of foot.entries()) {
    parts.push(`<text class="s" x="12" y="${y + 14 + 18 * i}">${escape(line)}</text>`);
  }
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escape(title)}">` +
    `<style>${STYLE}</style><text class="t" x="12" y="22">${escape(title)}</text>` +
    `<text class="s" x="12" y="42">${escape(`${unit}; ${better} is better; the line is the spread`)}</text>` +
    `${parts.join("")}</svg>\n`
  );
}
