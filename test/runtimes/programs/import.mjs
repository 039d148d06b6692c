// The checks over `import`: `import.mjs '{"names":{...},"mosquitto":1883}'`.
import { run } from "./suite.mjs";

const settings = JSON.parse(process.argv[2]);
const modules = {};
for (const path of Object.keys(settings.names)) modules[path] = await import(path);
await run(modules, settings);
