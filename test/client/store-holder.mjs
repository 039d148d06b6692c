// Opens and closes a store as its parent says: `node store-holder.mjs MODULE PATH`. Answers with what came of it.
import { isMainThread, parentPort } from "node:worker_threads";

const [module, path] = process.argv.slice(2);
const { FileStore } = await import(module);
let store;

function answer({ order, at = 0 }) {
  // All starters are let go in the same moment.
  while (Date.now() < at);
  try {
    if (order === "close") store?.close();
    else store = new FileStore(path);
    return "done";
  } catch (error) {
    return `${error.code}: ${error.message}`;
  }
}

if (isMainThread) {
  process.on("message", (message) => process.send(answer(message)));
  process.on("disconnect", () => process.exit());
  process.send("ready");
} else {
  parentPort.on("message", (message) => parentPort.postMessage(answer(message)));
  parentPort.postMessage("ready");
}
