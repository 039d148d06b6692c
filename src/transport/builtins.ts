/**
 * Node's own modules that open sockets, loaded when they are first needed: importing the client costs neither their
 * time nor their memory, and a start-up snapshot of a program can hold it.
 */

/** `node:net`. */
export const loadNet = async (): Promise<typeof import("node:net")> =>
  // Without a file to resolve from, as in a snapshot, there is no `import()`; before Node 20.16 there is nothing else.
  process.getBuiltinModule?.("node:net") ?? (await import("node:net"));

/** `node:tls`. */
export const loadTls = async (): Promise<typeof import("node:tls")> =>
  process.getBuiltinModule?.("node:tls") ?? (await import("node:tls"));

/** `node:crypto`. */
export const loadCrypto = async (): Promise<typeof import("node:crypto")> =>
  process.getBuiltinModule?.("node:crypto") ?? (await import("node:crypto"));
