// The small changes: operators, numbers, constants and statements of JavaScript source, outside of strings.

const SWAPS = {
  "===": ["!=="],
  "!==": ["==="],
  "<": ["<=", ">"],
  "<=": ["<"],
  ">": [">=", "<"],
  ">=": [">"],
  "&&": ["||"],
  "||": ["&&"],
  "??": ["&&"],
  "+": ["-"],
  "-": ["+"],
  "*": ["+"],
  "<<": [">>"],
  ">>": ["<<"],
  ">>>": ["<<"],
  "&": ["|"],
  "|": ["&"],
  "^": ["|"],
  "++": ["--"],
  "--": ["++"],
  "+=": ["-="],
  "|=": ["&="],
  "!": [""],
  true: ["false"],
  false: ["true"],
  Math_max: ["Math.min"],
  Math_min: ["Math.max"],
};

const TOKEN =
  /\/\*[^]*?\*\/|\/\/.*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`|\/\[[^/\n]*\/u|0x[\da-f]+|\d[\d_.]*|#?[A-Za-z_$][\w$]*(?:\.(?:max|min)\b)?|=>|\?\?=|\?\.|\.\.\.|>>>=|>>>|>>=|<<=|===|!==|&&|\|\||\?\?|\+\+|--|\+=|-=|\|=|\^=|<=|>=|<<|>>|[^\s]/g;

/** Every mutant of `source` as { start, end, text }: the stretch to replace, and with what. */
export function* mutantsOf(source) {
  for (const { 0: token, index: start } of source.matchAll(TOKEN)) {
    const end = start + token.length;
    const swaps = SWAPS[token.replace("Math.", "Math_")];
    if (Object.hasOwn(SWAPS, token.replace("Math.", "Math_"))) {
      for (const text of swaps) yield { start, end, text };
    } else if (/^\d/.test(token)) {
      const value = Number(token.replaceAll("_", ""));
      yield { start, end, text: String(value + 1) };
      if (value > 1) yield { start, end, text: String(value - 1) };
    }
  }
  // Statements on a line of their own: calls, assignments and throws go; so does what a return returns.
  for (const { 0: line, index } of source.matchAll(/^.*$/gm)) {
    const body = line.trim();
    const start = index + line.indexOf(body);
    const end = start + body.length;
    if (/^(?:this\.|[\w.]+\(|[\w$]+ [-+|]?= |throw fault).*;$/.test(body) && balanced(body))
      yield { start, end, text: ";" };
    const guard = /^(?:else )?if \(.*\) (throw .*|return;|break;|continue;)$/.exec(body);
    if (guard) yield { start: end - guard[1].length, end, text: ";" };
  }
}

function balanced(text) {
  let depth = 0;
  for (const char of text) {
    if ("([{".includes(char)) depth++;
    if (")]}".includes(char) && --depth < 0) return false;
  }
  return depth === 0;
}
