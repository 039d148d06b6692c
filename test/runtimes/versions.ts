/** The runtimes that the package is shown on, all of them from the registry, at pinned versions. */
export const nodeVersions = {
  "18.7": "18.7.0",
  "18.20": "18.20.8",
  "20.0": "20.0.0",
  "20.20": "20.20.2",
  "22.0": "22.0.0",
  "22.23": "22.23.3",
  "24": "24.21.0",
  "26": "26.10.0",
} as const;
export const bunVersion = "1.4.5";
export const denoVersion = "2.9.6";
/** Puts a program's bundle into a copy of Node, where Node does not do it itself. */
export const postjectVersion = "1.0.0-alpha.6";

export type NodeLine = keyof typeof nodeVersions;
