// What a run is doing, in words.
import type { Schemas } from "./api.ts";
import { duration, many, plural } from "./words.ts";

export type Run = Schemas["RunSummary"];

export const SIGN: Record<Run["state"], string> = {
  preparing: "…", planned: "…", training: "●", stopped: "‖", finished: "✓", failed: "✗", diverged: "✗",
};

/** "training, step 120 of 600, 25 s left" */
export function doing(run: Run): string {
  const { state, step, steps, seconds, seconds_left: left } = run;
  const at = step !== null && steps ? `step ${step.toLocaleString("en")} of ${steps.toLocaleString("en")}` : null;
  const parts: Record<Run["state"], (string | null)[]> = {
    preparing: ["reading the text and planning"],
    planned: ["planned, about to begin"],
    training: ["training", at, left !== null ? `${duration(left)} left` : null],
    stopped: ["stopped", at],
    finished: [step !== null ? `finished after ${plural(step, "step")}` : "finished", seconds ? duration(seconds) : null],
    failed: ["ended with an error", at],
    diverged: ["diverged", at],
  };
  return parts[state].filter(Boolean).join(", ");
}

/** The share of the run that is done, 0 to 1; null where that is not known. */
export const shareOf = ({ step, steps }: Run): number | null =>
  step === null || !steps ? null : Math.min(1, step / steps);

/** "a model of 218 thousand parameters, trained on shakespeare" */
export function what(run: Run): string {
  const parts: string[] = [];
  if (run.parameters !== null) parts.push(`${many(run.parameters)} parameters`);
  if (run.tuned_from) parts.push(`${run.tuned_from} fine-tuned${run.text ? ` on ${run.text}` : ""}`);
  else if (run.text) parts.push(run.text);
  return parts.join(" · ");
}
