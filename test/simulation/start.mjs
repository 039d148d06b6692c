// Bundles the simulation with the sources of today into .build/simulation, and starts it.
import { fileURLToPath } from "node:url";
import { bundle } from "./bundle.mjs";

const folder = fileURLToPath(new URL("../../.build/simulation", import.meta.url));
await bundle("main", folder);
await import(`${folder}/main.js`);
