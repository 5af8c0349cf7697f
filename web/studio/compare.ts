// Two models, or several runs, laid beside each other.
import type { Cell } from "../views/types.ts";

/** A piece of text that both models' tokens divide at the same places, and how surprised each was by it. */
export interface Piece {
  text: string;
  first: number; // bits; NaN where nothing was predicted
  second: number;
}

/** A model whose weights are rounded, as the studio's server names it: "runs/book@int8". */
export const roundedName = (run: string): string => `${run}@int8`;

/** "runs/book@int8" -> the run, and whether its weights are rounded. */
export function parted(name: string): { run: string; isRounded: boolean } {
  const isRounded = name.endsWith("@int8");
  return { run: isRounded ? name.slice(0, -"@int8".length) : name, isRounded };
}

/** Two readings of one text, cut where both have a boundary. What only one of them reaches is left out. */
export function pieces(first: readonly Cell[], second: readonly Cell[]): Piece[] {
  const found: Piece[] = [];
  let [n, m] = [0, 0];
  while (n < first.length && m < second.length) {
    let [one, two] = [first[n]!.text, second[m]!.text];
    let [own, other] = [first[n++]!.bits, second[m++]!.bits];
    while (one.length !== two.length) {
      const shorter = one.length < two.length;
      const next = shorter ? first[n++] : second[m++];
      if (!next) return found;
      if (shorter) [one, own] = [one + next.text, own + next.bits];
      else [two, other] = [two + next.text, other + next.bits];
    }
    found.push({ text: one, first: own, second: other });
  }
  return found;
}

/** The sum of each model's surprise over what both predicted, in bits, and the number of characters. */
export function totals(all: readonly Piece[]): { first: number; second: number; characters: number } {
  const sum = { first: 0, second: 0, characters: 0 };
  for (const { text, first, second } of all) {
    if (Number.isNaN(first) || Number.isNaN(second)) continue;
    sum.first += first;
    sum.second += second;
    sum.characters += [...text].length;
  }
  return sum;
}

const WIDEST = 6; // bits of difference that get the strongest shade

/** -8 (the first model was far less surprised) to 8 (the second was). */
export function shadeOfDifference({ first, second }: Piece): number {
  const apart = first - second;
  if (Number.isNaN(apart) || Math.abs(apart) < 0.25) return 0;
  return Math.sign(apart) * Math.min(8, Math.ceil((Math.abs(apart) / WIDEST) * 8));
}

export interface Series {
  x: readonly number[];
  y: readonly (number | null)[];
}

/** Several series over one axis: [x, y of the first, y of the second, …], with null where a series has no point. */
export function joined(series: readonly Series[]): [number[], ...(number | null)[][]] {
  const axis = [...new Set(series.flatMap((one) => one.x))].sort((a, b) => a - b);
  const place = new Map(axis.map((x, n) => [x, n]));
  const rows = series.map(({ x, y }) => {
    const row = new Array<number | null>(axis.length).fill(null);
    x.forEach((at, n) => (row[place.get(at)!] = y[n] ?? null));
    return row;
  });
  return [axis, ...rows];
}

/** The index of the last value that is at most x in an ascending list; -1 before the first. */
export function lastBefore(values: readonly number[], x: number): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle]! <= x) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
