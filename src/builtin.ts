/**
 * Node's own modules, loaded when they are first needed: importing the client costs neither their time nor their memory (an
 * `import` reads every export of such a module, and with it loads what nobody uses), and a start-up snapshot can hold it.
 */
import { createRequire } from "node:module";

interface Modules {
  crypto: typeof import("node:crypto");
  net: typeof import("node:net");
  tls: typeof import("node:tls");
  util: typeof import("node:util");
  v8: typeof import("node:v8");
}

/** `node:` and that name. */
export const builtin = <Name extends keyof Modules>(name: Name): Modules[Name] =>
  // Before Node 20.16 there is only `require`, from any file for a module of Node's own.
  (process.getBuiltinModule?.(`node:${name}`) ?? createRequire("/")(`node:${name}`)) as Modules[Name];
