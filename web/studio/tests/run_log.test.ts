import { describe, expect, test } from "vitest";
import type { Schemas } from "../api.ts";
import { RunLog, sampleAt } from "../run_log.ts";

type Lines = Schemas["Lines"];
const lines = (file: Lines["file"], offset: number, more: Partial<Lines> = {}): Lines => ({
  file, offset, mark: 0, reset: false, progress: [], metrics: [], samples: [], ...more,
});
const step = (step: number, loss: number): Schemas["ProgressLine"] => ({
  type: "step", time: 0, step, steps: 10, tokens: step, loss, lr: 0, tokens_per_second: 1, seconds: step, seconds_left: 1,
  text: null, how: null, process: 1,
});
const metric = (step: number, val_loss: number, val_tokens = 100): Schemas["MetricsLine"] => ({
  step, tokens: step, seconds: step, train_loss: 1, val_loss, bits_per_char: 1, bits_per_byte: 1, lr: 0, tokens_per_second: 1, val_tokens,
});
const sample = (step: number, text: string): Schemas["SampleLine"] => ({ step, tokens: 2 * step, seconds: step, prompt: "", text });

describe("what a run has written", () => {
  test("is put together from pieces", () => {
    const log = new RunLog();
    log.take(lines("progress", 10, { progress: [step(1, 3)] }));
    log.take(lines("progress", 20, { progress: [step(2, 2)] }));
    expect(log.losses.points.map(({ loss }) => loss)).toEqual([3, 2]);
  });

  test("is not taken twice when a connection begins anew further back", () => {
    const log = new RunLog();
    const piece = lines("progress", 10, { progress: [{ ...step(1, 3), type: "note", text: "compiled" }] });
    log.take(piece);
    log.take(piece);
    expect(log.notes).toHaveLength(1);
  });

  test("is forgotten when its file was written anew, and the other files are not", () => {
    const log = new RunLog();
    log.take(lines("metrics", 50, { metrics: [metric(1, 3), metric(2, 2)] }));
    log.take(lines("samples", 50, { samples: [sample(1, "a")] }));
    log.take(lines("metrics", 20, { reset: true, metrics: [metric(1, 4)] }));
    expect(log.metrics.map(({ val_loss }) => val_loss)).toEqual([4]);
    expect(log.samples).toHaveLength(1);
  });

  test("the final evaluation is no point of the curve", () => {
    const log = new RunLog();
    log.take(lines("metrics", 90, { metrics: [metric(1, 3), metric(2, 2), metric(2, 2.1, 1000)] }));
    expect(log.metrics.map(({ val_loss }) => val_loss)).toEqual([3, 2]);
    expect(log.final?.val_loss).toBe(2.1);
  });

  test("under the cursor is the sample that was the newest then", () => {
    const all = [sample(10, "a"), sample(20, "b"), sample(30, "c")];
    const at = (value: number) => sampleAt(all, value, ({ step }) => step)?.text;
    expect([0, 10, 19, 20, 99].map(at)).toEqual(["a", "a", "a", "b", "c"]);
    expect(sampleAt([], 5, ({ step }) => step)).toBeNull();
  });
});
