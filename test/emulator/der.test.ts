import { describe, expect, it } from "vitest";
import * as der from "../../src/emulator/der.js";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("DER writer", () => {
  it("writes the shortest length: one byte below 128, then the count of length bytes", () => {
    expect(hex(der.octetString(new Uint8Array(2)))).toBe("04020000");
    expect(hex(der.octetString(new Uint8Array(127))).slice(0, 4)).toBe("047f");
    expect(hex(der.octetString(new Uint8Array(128))).slice(0, 6)).toBe("048180");
    expect(hex(der.octetString(new Uint8Array(255))).slice(0, 6)).toBe("0481ff");
    expect(hex(der.octetString(new Uint8Array(256))).slice(0, 8)).toBe("04820100");
    expect(hex(der.octetString(new Uint8Array(65_536))).slice(0, 10)).toBe("0483010000");
  });

  it("keeps integers positive and minimal", () => {
    expect(hex(der.integer(Uint8Array.of(0)))).toBe("020100");
    expect(hex(der.integer(Uint8Array.of(0x7f)))).toBe("02017f");
    expect(hex(der.integer(Uint8Array.of(0x80)))).toBe("02020080");
    expect(hex(der.integer(Uint8Array.of(0, 0, 1)))).toBe("020101");
  });

  it("packs the first two arcs of an object identifier and writes the rest in base 128", () => {
    expect(hex(der.objectIdentifier("2.5.4.3"))).toBe("0603550403");
    expect(hex(der.objectIdentifier("1.2.840.10045.4.3.2"))).toBe("06082a8648ce3d040302");
    expect(hex(der.objectIdentifier("1.2.840.113549.1.1.11"))).toBe("06092a864886f70d01010b");
  });

  it("switches from UTCTime to GeneralizedTime at 2050", () => {
    const at = (text: string): string => Buffer.from(der.time(Date.parse(text))).toString("latin1");
    expect(at("2049-12-31T23:59:59.999Z")).toBe("\x17\x0d491231235959Z");
    expect(at("2050-01-01T00:00:00Z")).toBe("\x18\x0f20500101000000Z");
    expect(at("1949-12-31T00:00:00Z")).toBe("\x18\x0f19491231000000Z");
  });

  it("tags by class and form", () => {
    expect(hex(der.context(0, true, der.integer(Uint8Array.of(2))))).toBe("a003020102");
    expect(hex(der.context(2, false, Buffer.from("ab")))).toBe("82026162");
    expect(hex(der.sequence(der.boolean(true), der.utf8String("é")))).toBe("30070101ff0c02c3a9");
    expect(hex(der.bitString(Uint8Array.of(6), 1))).toBe("03020106");
  });
});
