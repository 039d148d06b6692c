// Publishing with QoS 1 over TLS by payload, 16 B to 256 KiB: `client --curve`, with the same peers and options.
//
//   npm run bench -- curve [options of client]
process.argv.push("--curve");
await import("./client.mjs");
