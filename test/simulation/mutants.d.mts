/** Known faults; see mutants.mjs. */
export const mutants: readonly {
  name: string;
  edits: readonly (readonly [file: string, from: string, to: string])[];
}[];
