import { describe, expect, test } from "vitest";
import { queryOf, samplingOf, seedOf, tokensOf } from "../settings.ts";
import { MINUTES, chosen, noted, stepOf, type Choice } from "../text.ts";
import { ago, bytes, duration, many, plural } from "../words.ts";

describe("quantities", () => {
  test.each([[8, "8 s"], [60, "1 min"], [125, "2 min 5 s"], [1500, "25 min"], [4800, "1 h 20 min"], [86400 * 2 + 3 * 3600, "2 days 3 h"]])(
    "%d seconds are %s", (seconds, text) => expect(duration(seconds)).toBe(text));
  test.each([[517, "517"], [217_792, "218 thousand"], [1_354_000, "1.35 million"], [999_600, "1.00 million"]])(
    "%d is %s", (n, text) => expect(many(n)).toBe(text));
  test.each([[999, "999 bytes"], [1200, "1.2 kB"], [729_000_000, "729 MB"], [24e9, "24 GB"]])(
    "%d bytes are %s", (n, text) => expect(bytes(n)).toBe(text));
  test.each([[5, "just now"], [70, "1 minute ago"], [7200, "2 hours ago"], [86_400 * 3, "3 days ago"]])(
    "%d seconds ago is %s", (seconds, text) => expect(ago(1000, 1000 + seconds)).toBe(text));
  test("one is not many", () => expect([plural(1, "step"), plural(1200, "step")]).toEqual(["1 step", "1,200 steps"]));
});

describe("settings in the address", () => {
  const usual = { temperature: 0.8, top_k: null, top_p: null, min_p: null, repetition_penalty: null };

  test("are read as they were written, and the usual ones are not there", () => {
    const mine = { ...usual, temperature: 0, top_k: 5 };
    expect(queryOf(usual, usual)).toEqual({ temperature: "", top_k: "", top_p: "", min_p: "" });
    expect(samplingOf(queryOf(mine, usual), usual)).toEqual(mine);
  });

  test("that are no numbers are the usual ones", () => {
    expect(samplingOf({ temperature: "warm" }, usual).temperature).toBe(0.8);
    expect([seedOf({ seed: "-1" }), seedOf({}), seedOf({ seed: "7" })]).toEqual([null, null, 7]);
    expect([tokensOf({ tokens: "" }), tokensOf({ tokens: "1e9" })]).toEqual([200, 5000]);
  });

  test("a text is read as it was written", () => {
    const all: Choice[] = [{ kind: "path", path: "a b/c:d.txt" }, { kind: "upload", upload: "0123456789abcdef" }, { kind: "named", name: "shakespeare" }];
    for (const choice of all) expect(chosen(noted(choice))).toEqual(choice);
    for (const wrong of [undefined, "", "path:", "upload:xyz", "named:../a", "file:///x"]) expect(chosen(wrong)).toBeNull();
  });

  test("the slider finds every number of minutes that it offers", () => {
    MINUTES.forEach((minutes, n) => expect(stepOf(minutes)).toBe(n));
    expect(MINUTES[stepOf(4)]).toBe(5);
  });
});
