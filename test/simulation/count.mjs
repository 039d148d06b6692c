// Counts the work of the client: puts a counter into each function and each round of a loop of a source file.
import { parseAst } from "rolldown/parseAst";

const LOOPS = ["ForStatement", "ForInStatement", "ForOfStatement", "WhileStatement", "DoWhileStatement"];
const FUNCTIONS = ["FunctionDeclaration", "FunctionExpression", "ArrowFunctionExpression"];

/**
 * The same text with the counter `globalThis.hubwireWork`. What a native method does by itself (`splice`, a spread) is not
 * counted.
 *
 * @param {string} text of a TypeScript file
 */
export function counting(text) {
  /** @type {[number, string][]} */
  const inserts = [];
  const visit = (node) => {
    if (typeof node?.type === "string") {
      const { body } = node;
      const isLoop = LOOPS.includes(node.type);
      if (body && (isLoop || FUNCTIONS.includes(node.type))) {
        const isBlock = body.type === "BlockStatement" || body.type === "FunctionBody";
        if (isBlock) inserts.push([body.start + 1, "globalThis.hubwireWork++;"]);
        else if (isLoop) inserts.push([body.start, "{globalThis.hubwireWork++;"], [body.end, "}"]);
        else inserts.push([body.start, "(globalThis.hubwireWork++,"], [body.end, ")"]);
      }
    }
    for (const value of Object.values(node)) if (typeof value === "object" && value !== null) visit(value);
  };
  visit(parseAst(text, { lang: "ts" }));
  let counted = text;
  // From the back, so that what is in front keeps its place; an outer end comes behind an inner one.
  inserts.sort(([one], [other]) => one - other);
  for (const [at, what] of inserts.reverse()) counted = counted.slice(0, at) + what + counted.slice(at);
  return counted;
}
