/** What is handed over to the emulator and is not of its kind: refused by name, never a TypeError of somewhere within. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { createAuthority, createSelfSigned, HubEmulator } from "../../src/emulator/index.js";

let hub: HubEmulator;
beforeAll(async () => {
  hub = await HubEmulator.start();
  hub.createDevice("d1");
  hub.createModule("d1", "m1");
});
afterAll(() => hub.close());

const symbol = Symbol("s") as never;
it.each<[string, () => unknown]>([
  ["accept", () => hub.accept({} as never)],
  ["accept", () => hub.accept(undefined as never)],
  ["start", () => HubEmulator.start({ authority: {} as never })],
  ["start", () => HubEmulator.start({ alternativeNames: {} as never })],
  ["faults.set", () => hub.faults.set(null as never)],
  ["useCertificate", () => hub.useCertificate(null as never)],
  ["useCertificate", () => hub.useCertificate({} as never)],
  ["useCertificate", () => hub.useCertificate({ ...createSelfSigned(), key: undefined } as never)],
  ["start", () => HubEmulator.start({ certificate: {} as never })],
  ["start", () => HubEmulator.start({ certificate: { certificate: createSelfSigned().certificate } as never })],
  ["faults.set", () => hub.faults.set({ delay: [5, 1] })],
  ["createDevice", () => hub.createDevice(symbol)],
  ["createDevice", () => hub.createDevice("n", { thumbprint: {} as never })],
  ["createModule", () => hub.createModule("d1", symbol)],
  ["createEnrollment", () => hub.createEnrollment(undefined as never)],
  ["createEnrollment", () => hub.createEnrollment(5 as never)],
  ["createEnrollment", () => hub.createEnrollment("sensor!")],
  ["createEnrollment", () => hub.createEnrollment("sensor.")],
  ["createEnrollment", () => hub.createEnrollment("x".repeat(129))],
  ["sendToDevice", () => hub.sendToDevice("d1", "x", { moduleId: "m1", inputName: "" })],
  ["twin", () => hub.twin(symbol)],
  ["invokeMethod", () => hub.invokeMethod("d1", undefined as never)],
  ["updateDesiredProperties", () => hub.updateDesiredProperties("d1", { a: new Map([["b", 1]]) })],
  ["replaceDesiredProperties", () => hub.replaceDesiredProperties("d1", { a: Number.NaN })],
  ["updateTags", () => hub.updateTags("d1", { a: new Date(Number.NaN) })],
  ["replaceTags", () => hub.replaceTags("d1", { a: () => 1 })],
  ["invokeMethod", () => hub.invokeMethod("d1", "m", { a: [new Set([1])] })],
  ["createEnrollment", () => hub.createEnrollment("e", { payload: { a: Infinity } })],
  ["createEnrollmentGroup", () => hub.createEnrollmentGroup({ payload: 1n })],
  ["sendToDevice", () => hub.sendToDevice("d1", "x", { expiry: [] as never, ack: "none" })],
  ["createSelfSigned", () => createSelfSigned({ commonName: 5 as never })],
  ["createSelfSigned", () => createSelfSigned({ dnsNames: "localhost" as never })],
  ["createSelfSigned", () => createSelfSigned({ ipAddresses: [5] as never })],
  ["createSelfSigned", () => createSelfSigned({ passphrase: 5 as never })],
  ["createSelfSigned", () => createSelfSigned({ commonname: "x" } as never)],
  ["createAuthority", () => createAuthority(null as never)],
  ["issue", () => createAuthority().issue({ client: "yes" as never })],
])("%s refuses what is not of its kind, as all do", async (_name, call) => {
  await expect(Promise.resolve().then(call)).rejects.toMatchObject({ code: "ERR_INVALID_ARGUMENT" });
});
