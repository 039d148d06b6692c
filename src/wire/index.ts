/** IoT Hub's wire format, for both sides. No entry of the package; the fuzzer takes it from here. */
export * from "./connection-string.js";
export * from "./limits.js";
export * from "./property-bag.js";
export * from "./sas.js";
export * from "./topics.js";
export * from "./twin-limits.js";
