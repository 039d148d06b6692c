// Publishing with QoS 0, 1 and 2 over TLS to mosquitto, a broker that does its work: `client --mosquitto`, with the same
// peers and options. The broker then takes more of the machine than most clients. `receive --mosquitto` and `latency --mosquitto` are the same
// for what they measure.
//
//   npm run bench -- mosquitto [options of client]
process.argv.push("--mosquitto");
await import("./client.mjs");
