// What a run has written, put together from the pieces that the server sends: each knows where in its file it ends.
import type { Schemas } from "./api.ts";
import { Ring } from "./ring.ts";

type Lines = Schemas["Lines"];
type File = Lines["file"];
export type Metric = Schemas["MetricsLine"];
export type Written = Schemas["SampleLine"];

export class RunLog {
  readonly losses = new Ring();
  private evaluations = new Map<number, Metric>();
  private written = new Map<number, Written>();
  private ends = new Map<File, number>();
  notes: { time: number; text: string }[] = [];
  final: Metric | null = null; // of the best weights, on the most of the validation split

  /** Lines of one file. What is known already is not taken twice; a file that was written anew replaces what was. */
  take(lines: Lines): void {
    const known = this.ends.get(lines.file) ?? 0;
    if (lines.reset) this.forget(lines.file);
    else if (lines.offset <= known) return;
    this.ends.set(lines.file, lines.offset);
    for (const line of lines.progress ?? []) {
      if (line.type === "note" && line.text) this.notes.push({ time: line.time, text: line.text });
      if (line.type !== "step" || line.loss === null || line.step === null) continue;
      this.losses.add({ step: line.step, tokens: line.tokens ?? 0, seconds: line.seconds ?? 0, loss: line.loss });
    }
    for (const line of lines.metrics ?? []) this.evaluate(line);
    for (const line of lines.samples ?? []) this.written.set(line.step, line);
  }

  private evaluate(line: Metric): void {
    const before = this.evaluations.get(line.step);
    // A final evaluation stands at the step of the best weights, and is of more tokens: it is no point of the curve.
    if (before && line.val_tokens > before.val_tokens) this.final = line;
    else this.evaluations.set(line.step, line);
  }

  private forget(file: File): void {
    if (file === "progress") {
      this.losses.clear();
      this.notes = [];
    } else if (file === "metrics") {
      this.evaluations.clear();
      this.final = null;
    } else this.written.clear();
  }

  get metrics(): Metric[] {
    return [...this.evaluations.values()].sort((a, b) => a.step - b.step);
  }

  get samples(): Written[] {
    return [...this.written.values()].sort((a, b) => a.step - b.step);
  }
}

/** The sample that was the newest when the run was at that value of an axis; the first one before that. */
export function sampleAt(samples: readonly Written[], value: number, of: (sample: Written) => number): Written | null {
  let found = samples[0] ?? null;
  for (const sample of samples) if (of(sample) <= value + 1e-9) found = sample;
  return found;
}
