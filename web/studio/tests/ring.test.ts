import { describe, expect, test } from "vitest";
import { Ring } from "../ring.ts";

const sample = (step: number, loss = 1) => ({ step, tokens: 10 * step, seconds: step / 2, loss });

describe("a bounded series", () => {
  test("holds few points as they are", () => {
    const ring = new Ring(8);
    for (let step = 1; step <= 5; step++) ring.add(sample(step, step));
    expect(ring.points.map(({ step, loss }) => [step, loss])).toEqual([[1, 1], [2, 2], [3, 3], [4, 4], [5, 5]]);
  });

  test("never holds more than it may, and ends where the run is", () => {
    const ring = new Ring(64);
    for (let step = 1; step <= 100_000; step++) ring.add(sample(step));
    expect(ring.length).toBeLessThanOrEqual(64);
    expect(ring.length).toBeGreaterThan(30);
    expect(ring.points.at(-1)).toMatchObject({ step: 100_000, tokens: 1_000_000, seconds: 50_000 });
  });

  test("keeps the mean of what it puts together", () => {
    const ring = new Ring(16);
    for (let step = 1; step <= 1024; step++) ring.add(sample(step, step % 2 ? 0 : 2));
    const weighed = ring.points as unknown as { loss: number; weight: number }[];
    const all = weighed.reduce((sum, { weight }) => sum + weight, 0);
    expect(all).toBe(1024);
    expect(weighed.reduce((sum, { loss, weight }) => sum + loss * weight, 0) / all).toBeCloseTo(1);
  });

  test("forgets the steps that a resumed run makes again", () => {
    const ring = new Ring(8);
    for (const step of [1, 2, 3, 4]) ring.add(sample(step, 1));
    ring.add(sample(3, 9));
    expect(ring.points.map(({ step, loss }) => [step, loss])).toEqual([[1, 1], [2, 1], [3, 9]]);
  });
});
