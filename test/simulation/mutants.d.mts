/** Known faults; see mutants.mjs. */
export const mutants: readonly {
  name: string;
  of?: string;
  edits: readonly (readonly [file: string, from: string, to: string])[];
}[];
