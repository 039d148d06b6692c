/** The documented limits of twins and message ids, at their bounds, with the examples of Microsoft's pages. */
import { describe, expect, test } from "vitest";
import { messageIdObjection, twinObjection, twinSize } from "../../src/wire/twin-limits.js";

const objection = (json: string) => twinObjection(JSON.parse(json) as Record<string, unknown>, json);
const nested = (levels: number, inner: string) => '{"a":'.repeat(levels) + inner + "}".repeat(levels);

/** "Understand and use device twins in IoT Hub", Tags and properties format: "the following object is valid". */
const DOCUMENTED_DEPTH =
  '{"one":{"two":{"three":{"four":{"five":{"six":{"seven":{"eight":{"nine":{"ten":{"property":"value"}}}}}}}}}}}';

describe("a twin may hold", () => {
  test.each<[string, string]>([
    ["the page's own example of depth 10", DOCUMENTED_DEPTH],
    ["ten levels of arrays and objects", nested(10, "[1]")],
    ["the least and the greatest integer", '{"a":-4503599627370496,"b":[4503599627370495]}'],
    ["numbers with an exponent or a fraction, which are no integers", '{"a":6.02e23,"b":1E20,"c":-9007199254740992.0}'],
    ["digits in a string or a name", '{"9007199254740992":"9007199254740992","b":"\\"9007199254740992","c":"\\\\"}'],
    ["a string of 4 KiB", `{"a":"${"ü".repeat(2048)}"}`],
    ["a name of 1 KiB", `{"${"x".repeat(1024)}":1}`],
    ["names in other scripts and with other signs", '{"größe":1,"キー":true,"a-b_c:d/e*f~#":1,"__proto__":1}'],
    ["a deletion, at the top and in an object", '{"a":null,"b":{"c":null}}'],
    ["empty objects, arrays and strings", '{"a":{},"b":[],"c":""}'],
    ["control characters in a string", '{"a":"\\u0000\\n\\u0085"}'],
  ])("%s", (_what, json) => expect(objection(json)).toBeUndefined());

  // With nothing at all inside, a patch is legal as well.
  test("nothing", () => expect(objection("{}")).toBeUndefined());
});

describe("a twin must not hold", () => {
  test.each<[string, string, RegExp]>([
    ["eleven levels", `{"zero":${DOCUMENTED_DEPTH}}`, /10 levels/],
    ["eleven levels, the last an array", nested(11, "[]"), /10 levels/],
    ["a great many levels", `{"a":${"[".repeat(100_000)}${"]".repeat(100_000)}}`, /10 levels/],
    ["an integer over 2^52 - 1", '{"a":4503599627370496}', /4503599627370495/],
    ["an integer under -2^52", '{"a":{"b":[-4503599627370497]}}', /-4503599627370496/],
    ["an integer that is longer than any", '{"a":100000000000000000000000}', /integer/],
    ["a string over 4 KiB", `{"a":"${"ü".repeat(2048)}x"}`, /4096 bytes/],
    ["a name over 1 KiB", `{"${"ü".repeat(512)}x":1}`, /1024 bytes/],
    ["an empty name", '{"":1}', /empty name/],
    ["a dot in a name", '{"a":[{"b.c":1}]}', /name with/],
    ["a dollar in a name", '{"$a":1}', /name with/],
    ["a space in a name", '{"a b":1}', /name with/],
    ["a C0 control character in a name", '{"a\\u001f":1}', /name with/],
    ["a C1 control character in a name", '{"a\\u0085":1}', /name with/],
    ["null in an array", '{"a":[1,null]}', /null inside an array/],
    ["null in an object in an array, as 400004 says", '{"a":[{"b":null}]}', /null inside an array/],
    ["null in an array in an array", '{"a":[[{"b":{"c":null}}]]}', /null inside an array/],
  ])("%s", (_what, json, reason) => expect(objection(json)).toMatch(reason));
});

test.each<[string, number]>([
  ["{}", 0],
  ['{"a":"bc"}', 3],
  ['{"a":1,"b":1.5e300,"c":-0}', 27],
  ['{"a":true,"b":false}', 10],
  ['{"größe":"€"}', 10],
  ['{"a":"x\\n\\u0000\\u007f\\u0085y"}', 3],
  ['{"a":{"b":{"c":1}}}', 11],
  ['{"a":[1,true,"xy",[2],{"b":3}]}', 1 + 8 + 4 + 2 + 8 + 9],
  // What a patch deletes is in no document that it makes.
  ['{"a":null,"b":{"c":null}}', 1],
  ['{"a":{},"b":[],"c":""}', 3],
  [DOCUMENTED_DEPTH, "onetwothreefourfivesixseveneightnineten".length + "propertyvalue".length],
  // Neither quotes nor their escapes count.
  [JSON.stringify({ a: '"'.repeat(4096) }), 4097],
])("the size of %s is %i", (json, size) => expect(twinSize(JSON.parse(json))).toBe(size));

describe("message ids", () => {
  test.each(["", "x".repeat(128), "AZaz09-:.+%_#*?!(),=@;$'"])("%s is one", (id) =>
    expect(messageIdObjection(id)).toBeUndefined(),
  );
  test.each(["x".repeat(129), "a b", "a/b", "ü", "a\n", "\0", 'a"b', "<a>"])("%j is none", (id) =>
    expect(messageIdObjection(id)).toMatch(/^a message id has/),
  );
});
