// The checks over `require`, as in `import.mjs`.
const settings = JSON.parse(process.argv[2]);
const modules = {};
for (const path of Object.keys(settings.names)) modules[path] = require(path);
void import("./suite.mjs").then(({ run }) => run(modules, settings));
