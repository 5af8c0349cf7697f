import { describe, expect, test } from "vitest";
import { joined, lastBefore, parted, pieces, roundedName, shadeOfDifference, totals } from "../compare.ts";
import type { Cell } from "../../views/types.ts";

const cells = (...all: [string, number][]): Cell[] => all.map(([text, bits], place) => ({ text, bits, place, tokens: 1, rank: 0 }));

describe("a model with rounded weights", () => {
  test("has a name of its own, which says whose it is", () => {
    expect(parted(roundedName("runs/book"))).toEqual({ run: "runs/book", isRounded: true });
    expect(parted("runs/me@home")).toEqual({ run: "runs/me@home", isRounded: false });
  });
});

describe("two models on one text", () => {
  test("are compared piece by piece where their tokens agree", () => {
    const found = pieces(cells(["a", 1], ["b", 2]), cells(["a", 3], ["b", 4]));
    expect(found).toEqual([{ text: "a", first: 1, second: 3 }, { text: "b", first: 2, second: 4 }]);
  });

  test("are compared over longer pieces where their tokens end at different places", () => {
    const found = pieces(cells(["t", 1], ["h", 1], ["e", 1], [" c", 2]), cells(["the", 5], [" ", 1], ["c", 1]));
    expect(found).toEqual([{ text: "the", first: 3, second: 5 }, { text: " c", first: 2, second: 2 }]);
  });

  test("what only one of them has read is left out", () => {
    expect(pieces(cells(["a", 1], ["b", 1]), cells(["a", 1]))).toHaveLength(1);
    expect(pieces(cells(["ab", 1]), cells(["a", 1]))).toHaveLength(0);
  });

  test("the sums leave out what one of them could not predict, and count characters", () => {
    const found = pieces(cells(["a", NaN], ["😀", 2]), cells(["a", 1], ["😀", 3]));
    expect(totals(found)).toEqual({ first: 2, second: 3, characters: 1 });
  });

  test("the shade says who was less surprised, and nothing where they hardly differ", () => {
    const shade = (first: number, second: number) => shadeOfDifference({ text: "", first, second });
    expect([shade(1, 1.1), shade(1, 9), shade(9, 1), shade(NaN, 1)]).toEqual([0, -8, 8, 0]);
    expect(shade(2, 3)).toBe(-shade(3, 2));
  });
});

describe("runs over one axis", () => {
  test("have a gap where they have no point", () => {
    expect(joined([{ x: [0, 2], y: [5, 4] }, { x: [1, 2], y: [7, null] }])).toEqual([[0, 1, 2], [5, null, 4], [null, 7, null]]);
  });

  test("the last value up to a place is found", () => {
    expect([-1, 0, 1, 2, 9].map((x) => lastBefore([0, 2, 4], x))).toEqual([-1, 0, 0, 1, 2]);
  });
});
