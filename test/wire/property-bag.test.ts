/** Property bags: what is written, what is read, and that neither can be made slow or to throw anything else. */
import { describe, expect, test } from "vitest";
import {
  BagKey,
  BagWriter,
  decodeProperties,
  encodeProperties,
  propertyEntries,
  splitProperties,
} from "../../src/wire/property-bag.js";
import { seeded } from "../support/random.js";

const decoded = (bag: string): [string, string | null][] => [...decodeProperties(bag)];

describe("encodeProperties", () => {
  test.each([
    [{}, ""],
    [{ a: "1" }, "a=1"],
    [{ a: "1", b: "2" }, "a=1&b=2"],
    [{ a: null }, "a"],
    [{ a: "", b: null, c: "" }, "a=&b&c="],
    [{ "a b": "c d" }, "a%20b=c%20d"],
    [{ "&=/#+%?": "&=/#+%?" }, "%26%3D%2F%23%2B%25%3F=%26%3D%2F%23%2B%25%3F"],
    [{ "!'()*": "!'()*" }, "%21%27%28%29%2A=%21%27%28%29%2A"],
    [{ "-._~": "AZaz09" }, "-._~=AZaz09"],
    [{ "$.mid": "x" }, "%24.mid=x"],
    [{ ü: "€", "💡": "\0" }, "%C3%BC=%E2%82%AC&%F0%9F%92%A1=%00"],
    [{ "": "value" }, "=value"],
    [{ ["&".repeat(65)]: "ü/".repeat(40) }, `${"%26".repeat(65)}=${"%C3%BC%2F".repeat(40)}`],
  ])("%j is %s", (properties, bag) => {
    expect(encodeProperties(properties)).toBe(bag);
    expect(encodeProperties(new Map(Object.entries(properties)))).toBe(bag);
  });

  test.each([
    [{ a: "\ud800" }],
    [{ a: "x\udc00y" }],
    [{ "\udfff": "x" }],
    [{ a: undefined }],
    [{ a: 1 }],
    [{ a: true }],
    [{ a: {} }],
    [{ "": null }],
    [undefined],
    [null],
    ["a=b"],
    [5],
  ])("%j is refused", (properties) => {
    expect(() => encodeProperties(properties as never)).toThrow(
      expect.objectContaining({ name: "HubwireError", code: "ERR_INVALID_ARGUMENT" }),
    );
  });

  test("the error names the property, and says so of what cannot be read", () => {
    expect(() => encodeProperties({ a: 5 } as never)).toThrow('property "a" must be a string or null, not number');
    const broken = {
      get a(): string {
        throw new RangeError("broken");
      },
    };
    expect(() => encodeProperties(broken)).toThrow(
      expect.objectContaining({ code: "ERR_INVALID_ARGUMENT", message: "the properties cannot be read" }),
    );
  });

  test("the size is that of the values, and of the names of an application's; names of the hub's kind are seen", () => {
    const bag = new BagWriter("t/");
    bag.addOnce(new BagKey("&%24.mid="), "ü");
    bag.addValue(new BagKey("&%24.ct="), "a b");
    bag.add("n", "12");
    expect(bag).toMatchObject({ text: "t/%24.mid=%C3%BC&%24.ct=a%20b&n=12", size: 8, hasSystemName: false });
    bag.add("$n", null);
    expect(bag).toMatchObject({ text: "t/%24.mid=%C3%BC&%24.ct=a%20b&n=12&%24n", size: 10, hasSystemName: true });
  });

  test("the entries of a Map and of an object, and of nothing else", () => {
    expect([...propertyEntries({ a: "1", b: null })]).toEqual([
      ["a", "1"],
      ["b", null],
    ]);
    expect([...propertyEntries(new Map([["a", "1"]]))]).toEqual([["a", "1"]]);
    for (const wrong of [null, undefined, "a=b", 5])
      expect(() => propertyEntries(wrong as never)).toThrow("properties must be an object or a Map");
  });

  test("names that objects have by nature are data", () => {
    const bag = "__proto__=p&constructor=c&toString=t";
    const own = JSON.parse('{"__proto__":"p","constructor":"c","toString":"t"}') as Record<string, string>;
    expect(encodeProperties(own)).toBe(bag);
    expect(decoded(bag)).toEqual([
      ["__proto__", "p"],
      ["constructor", "c"],
      ["toString", "t"],
    ]);
    expect(encodeProperties(Object.create({ inherited: "no" }) as Record<string, string>)).toBe("");
  });
});

describe("decodeProperties", () => {
  test.each([undefined, null, 5, {}])("%j is no text", (bag) => {
    expect(() => decodeProperties(bag as never)).toThrow(expect.objectContaining({ code: "ERR_INVALID_ARGUMENT" }));
  });

  test.each<[string, [string, string | null][]]>([
    ["", []],
    ["?", []],
    ["&", []],
    ["?a=1", [["a", "1"]]],
    ["??a=1", [["?a", "1"]]],
    ["a", [["a", null]]],
    ["a=", [["a", ""]]],
    ["a=b=c", [["a", "b=c"]]],
    ["=x", [["", "x"]]],
    [
      "a&&b&",
      [
        ["a", null],
        ["b", null],
      ],
    ],
    ["a=1&a=2", [["a", "2"]]],
    ["a=%2f%2F+", [["a", "//+"]]],
    ["a=100%", [["a", "100%"]]],
    ["a=%zz%20", [["a", "%zz%20"]]],
    ["a=%ff", [["a", "%ff"]]],
    ["%E2%82%AC=%c3%bc", [["€", "ü"]]],
  ])("%s", (bag, entries) => expect(decoded(bag)).toEqual(entries));

  test("takes any text", () => {
    const { below, text } = seeded(7);
    for (let round = 0; round < 3000; round++) {
      const bag = text(below(40), "%&=?+a0fFcC3$./#\ud800\udc00é ");
      for (const [name, value] of decodeProperties(bag)) {
        expect(typeof name).toBe("string");
        expect(value === null || typeof value === "string").toBe(true);
      }
    }
  });
});

test("random maps come back as they went", () => {
  const { below, text } = seeded(42);
  const alphabet = "abz019-._~ &=/#+%?!'()*$\0\n\u007f\u00fc\u20ac\u{1f4a1}\ufeff\uffff__proto__";
  for (let round = 0; round < 2000; round++) {
    const map = new Map<string, string | null>();
    for (let count = below(8); count > 0; count--) {
      map.set(text(1 + below(8), alphabet), below(5) === 0 ? null : text(below(12), alphabet));
    }
    const bag = encodeProperties(map);
    expect([...decodeProperties(bag)]).toEqual([...map]);
    // What the hub takes in a topic: unreserved characters, escapes and the two separators.
    expect(bag).toMatch(/^(?:[\w.~&=-]|%[0-9A-F]{2})*$/);
  }
});

test("bags whose names and values come again, at other places and beside others, are written alike each time", () => {
  const random = seeded(15);
  const names = ["alert", "room", "room 2", "unit", "&%24.mid=", "$.mid", "a", "x".repeat(70), "ü", "x".repeat(12)];
  const values = [
    "false",
    "room 1",
    "°C",
    "%",
    "",
    "utf-8",
    "a".repeat(13),
    "a~b",
    null,
    "~".repeat(64),
    "\ud83d\udca1",
  ];
  const escape = (text: string): string =>
    [...Buffer.from(text)]
      .map((byte) => {
        const character = String.fromCharCode(byte);
        return /[\w.~-]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
      })
      .join("");
  for (let run = 0; run < 3_000; run++) {
    const bag = Array.from({ length: random.below(6) }, (_, place): [string, string | null] => [
      random.below(3) ? names[place]! : random.pick(names),
      random.below(3) ? random.pick(values) : `${random.below(1e6)}`,
    ]);
    const map = new Map(bag);
    const expected = [...map].map(([name, value]) => escape(name) + (value === null ? "" : `=${escape(value)}`));
    const writer = new BagWriter("start/");
    writer.addAll(random.below(2) ? map : Object.fromEntries(map));
    expect(writer.text).toBe(`start/${expected.join("&")}`);
    expect(writer.size).toBe(Buffer.byteLength([...map].flat().join("")));
    expect(writer.hasSystemName).toBe(map.has("$.mid"));
  }
});

test("system properties are told from the application's", () => {
  const bag = decodeProperties("%24.mid=m&%24.ct=text%2Fplain&iothub-ack=full&own=1&%24.exp&%24.unknown=x");
  expect(splitProperties(bag)).toEqual({ messageId: "m", contentType: "text/plain", ack: "full", expiry: "" });
  expect([...bag]).toEqual([
    ["own", "1"],
    ["$.unknown", "x"],
  ]);
});

// How long they take is for `npm run bench -- hub` to say; here it is that they come through.
describe("10,000 names come through", () => {
  const makers: [string, (index: number) => [string, string | null]][] = [
    ["plain", (index) => [`name${index}`, `value${index}`]],
    ["escaped", (index) => [`näme ${index}`, `välue/${index}`]],
    ["without value", (index) => [`name${index}`, null]],
  ];
  test.each(makers)("%s", (_what, entry) => {
    const map = new Map(Array.from({ length: 10_000 }, (_, index) => entry(index)));
    expect([...decodeProperties(encodeProperties(map))]).toEqual([...map]);
  });

  test("with broken escapes, which stay as they are", () => {
    const bag = Array.from({ length: 10_000 }, (_, index) => `%ff${index}=%zz`).join("&");
    const decoded = decodeProperties(bag);
    expect(decoded.size).toBe(10_000);
    expect(decoded.get("%ff9999")).toBe("%zz");
  });
});
