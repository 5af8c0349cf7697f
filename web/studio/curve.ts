// What a plot of losses is made of, before anything is drawn.
import { duration } from "./words.ts";

export type Axis = "step" | "tokens" | "minutes";
export type Unit = "nats" | "bits"; // nats per token, bits per character

/** A line of a plot. kind says how it is drawn. */
export interface Line {
  label: string;
  x: readonly number[];
  y: readonly (number | null)[];
  kind: "main" | "faint" | "expected" | "edge" | `run-${number}`;
}

/** A loss that something simpler reaches: a line across the plot. */
export interface Level {
  label: string;
  y: number;
}

const NGRAMS = ["unigram", "bigram", "trigram"];

/** The n-gram baselines as lines, and the loss of a uniform distribution. Longer n-grams are left out where their loss
 * is no lower than that of shorter ones. */
export function levels(uniform: number | null, ngrams: readonly number[]): Level[] {
  const found: Level[] = uniform === null ? [] : [{ label: "uniform", y: uniform }];
  let best = Infinity;
  ngrams.forEach((y, n) => {
    if (y >= best) return;
    best = y;
    found.push({ label: NGRAMS[n] ?? `${n + 1}-gram`, y });
  });
  return found;
}

/** The values of an axis for points that know their step, tokens and seconds. */
export const along = (axis: Axis, points: readonly { step: number; tokens: number; seconds: number }[]): number[] =>
  points.map((one) => (axis === "step" ? one.step : axis === "tokens" ? one.tokens : one.seconds / 60));

/** Round marks along an axis of minutes. */
export const minutesMark = (minutes: number): string => (minutes === 0 ? "0" : duration(minutes * 60));

/** 4096 -> "4,096"; 1_200_000 -> "1.2M": short, for the marks of an axis. */
export function mark(n: number): string {
  const [size, name] = Math.abs(n) >= 1e9 ? [1e9, "G"] : Math.abs(n) >= 1e6 ? [1e6, "M"] : Math.abs(n) >= 1e4 ? [1e3, "k"] : [1, ""];
  return `${(n / size).toLocaleString("en", { maximumFractionDigits: 2 })}${name}`;
}

const SEEN = 0.85; // of the points of each line, the lowest ones

/** The part of the losses that is worth its height: a first loss far above the rest does not press them flat.
 * lines: the losses of each; levels: those in sight are kept. */
export function lossRange(lines: readonly (readonly (number | null)[])[], levels: readonly number[] = []): [number, number] {
  const known = lines
    .map((line) => line.filter((y): y is number => y !== null && Number.isFinite(y)).sort((a, b) => a - b))
    .filter((line) => line.length);
  if (!known.length) return [0, Math.max(1, ...levels)];
  const lowest = Math.min(...known.map((line) => line[0]!));
  const highest = Math.max(
    lowest + Math.max(0.1 * Math.abs(lowest), 0.05), ...known.map((line) => line[Math.floor(SEEN * (line.length - 1))]!),
  );
  const height = highest - lowest;
  const top = Math.max(highest, ...levels.filter((y) => y < highest + 0.3 * height));
  const bottom = Math.min(lowest, ...levels.filter((y) => y > lowest - 0.3 * height));
  return [Math.max(0, bottom - 0.06 * height), top + 0.08 * height];
}
