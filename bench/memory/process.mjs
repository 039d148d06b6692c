// One process of a kind that bench/process.mjs asks for; says what it takes.

const { port, ca, kind, seconds, context, count } = JSON.parse(process.argv[2]);
const options = { host: "localhost", port, tls: { ca } };
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const MiB = 1024 * 1024;

/** Resident memory now and at its peak, MiB. */
async function resident() {
  await sleep(200);
  gc();
  await sleep(50);
  const { maxRSS } = process.resourceUsage();
  return { rss: process.memoryUsage.rss() / MiB, peak: maxRSS / 1024 };
}

async function connect(more) {
  const { MqttClient } = await import("../../dist/client/index.js");
  const client = new MqttClient({ ...options, clientId: `process-${Math.random()}`, ...more });
  await client.connect();
  return client;
}

const kinds = {
  nothing: resident,
  async "a TLS socket"() {
    const tls = await import("node:tls");
    const socket = tls.connect({ host: "localhost", port, ca });
    await new Promise((resolve) => socket.once("secureConnect", resolve));
    return resident();
  },
  async "an idle client"() {
    await connect();
    return resident();
  },
  /** Two hundred messages of 200 bytes are always on their way. */
  async "a client under load"() {
    const client = await connect();
    const payload = Buffer.alloc(200, "x");
    const end = performance.now() + seconds * 1000;
    let sent = 0;
    const worker = async () => {
      while (performance.now() < end) {
        await client.publish("plant/line/1", payload, { qos: 1 });
        sent++;
      }
    };
    await Promise.all(Array.from({ length: 200 }, worker));
    return { ...(await resident()), rate: sent / seconds };
  },
  async many() {
    const { createSecureContext } = await import("node:tls");
    const shared = context === "shared" ? { tls: { secureContext: createSecureContext({ ca }) } } : {};
    const clients = [await connect(shared)];
    const { rss: base } = await resident();
    for (let i = 0; i < count; i++) clients.push(await connect(shared));
    const { rss } = await resident();
    return { base, each: ((rss - base) / count) * 1024, clients: clients.length };
  },
};

process.send(await kinds[kind]());
process.exit();
