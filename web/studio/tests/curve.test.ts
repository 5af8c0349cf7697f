import { describe, expect, test } from "vitest";
import { along, levels, lossRange, mark, minutesMark } from "../curve.ts";

describe("the axes of a curve", () => {
  test("a point knows its place on each", () => {
    const points = [{ step: 3, tokens: 600, seconds: 90 }];
    expect([along("step", points), along("tokens", points), along("minutes", points)]).toEqual([[3], [600], [1.5]]);
  });

  test("marks are short", () => {
    expect([0, 500, 4096, 25_000, 1_200_000, 3e9].map(mark)).toEqual(["0", "500", "4,096", "25k", "1.2M", "3G"]);
    expect([0, 0.5, 90].map(minutesMark)).toEqual(["0", "30 s", "1 h 30 min"]);
  });

  test("a first loss far above the rest does not press the curve flat", () => {
    const [low, high] = lossRange([[11, 2.4, 2.1, 2.0, 1.9, 1.85, 1.8]]);
    expect(low).toBeLessThan(1.8);
    expect(high).toBeGreaterThan(2.4);
    expect(high).toBeLessThan(5);
  });

  test("a run that has just begun is seen beside the curve that is expected of it", () => {
    const expected = Array.from({ length: 40 }, (_, n) => 2 + 2 / (n + 1));
    expect(lossRange([expected, [5.9, 5.8, 5.5]])[1]).toBeGreaterThan(5.8);
  });

  test("a level a little above the curve is in sight, one far above is not", () => {
    const [, high] = lossRange([[2, 1.8, 1.6]], [1.855, 9]);
    expect(high).toBeGreaterThan(1.855);
    expect(high).toBeLessThan(9);
  });

  test("a curve that hardly moves is still drawn inside", () => {
    const [low, high] = lossRange([[1.5, 1.5, 1.5]]);
    expect(low).toBeLessThan(1.5);
    expect(high).toBeGreaterThan(1.5);
  });

  test("no loss at all has an axis, too", () => expect(lossRange([[null, NaN], []])).toEqual([0, 1]));
});

describe("what something simpler reaches", () => {
  test("is named, and left out where a longer n-gram is no better", () => {
    expect(levels(4.17, [3.3, 2.5, 2.0, 2.1, 1.9])).toEqual([
      { label: "uniform", y: 4.17 }, { label: "unigram", y: 3.3 }, { label: "bigram", y: 2.5 }, { label: "trigram", y: 2.0 },
      { label: "5-gram", y: 1.9 },
    ]);
  });

  test("is the n-grams alone where the vocabulary is not known", () => {
    expect(levels(null, [5, 4]).map(({ label }) => label)).toEqual(["unigram", "bigram"]);
  });
});
