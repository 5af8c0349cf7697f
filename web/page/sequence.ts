// A text that is read and written: its ids, what the model predicted at each place, and how the next token is chosen.
import { Context } from "./context.ts";
import { GPT, type Model } from "./gpt.ts";
import type { Sampling } from "../views/types.ts";
import { choose, logProbabilities, withRepetitionPenalty } from "./sampling.ts";

/** What the model predicted at a place, before it saw what stands there. Logarithms in nats. */
export interface Prediction {
  logprob: number; // of the token that stands there; NaN where nothing does, and for the first
  rank: number; // how many tokens were likelier; -1 where there is none
  start: number; // of the window that it was made from
}

/** Where the window begins in a text of that many tokens: when it is full, the older half of it is dropped, and the
 *  newer half is read again (homespun/generation/window.py). */
export function windowStart(tokens: number, contextLength: number): number {
  const over = tokens - contextLength;
  if (over <= 0) return 0;
  const half = Math.floor((contextLength + 1) / 2);
  return Math.ceil(over / half) * half;
}

const FIRST: Prediction = { logprob: NaN, rank: -1, start: 0 };

export class Sequence {
  ids: number[] = [];
  /** At each place of the text, and behind its end for the token that comes next. Nothing predicts the first one. */
  predictions: Prediction[] = [FIRST];
  logits = new Float32Array(0); // (V) of the token that comes next
  private logprobs: Float32Array = new Float32Array(0); // of the same
  private readonly context: Context | null;
  private start = 0; // of the window that the context holds
  private computed = 0; // ids from the start on whose keys and values are there
  private base = 0; // where the text begins for the windows
  private readonly length: number;

  /** vocab: how many ids the tokenizer has; a model may have a few more, which are never drawn. */
  constructor(
    private readonly model: Model,
    private readonly vocab: number,
  ) {
    this.length = model.config.context_length;
    this.context = model instanceof GPT ? new Context(model.memory, model.config) : null;
  }

  /** The text is these ids now. What is computed of their common beginning stays. */
  replace(ids: number[]): void {
    let same = 0;
    while (same < ids.length && ids[same] === this.ids[same]) same++;
    if (same === ids.length && same === this.ids.length) return;
    this.ids = ids.slice();
    this.base = 0;
    this.predictions.length = Math.max(1, Math.min(this.predictions.length, same));
    this.computed = Math.max(0, Math.min(this.computed, same - 1 - this.start));
  }

  /** What is generated from here on sees what Python's engine would see: of a prompt that is longer than the
   *  context_length its last tokens, as if the text began there. */
  prompted(): void {
    const end = this.ids.length;
    this.base = Math.max(0, end - this.length);
    if (this.predictions[end] && this.predictions[end].start !== this.base) this.predictions.length = end;
  }

  /** Computes one token; false where nothing is left to compute, and the next token can be chosen. */
  step(): boolean {
    const place = this.predictions.length; // whose prediction is not known yet
    if (place > this.ids.length) return false;
    const start = this.base + windowStart(place - this.base, this.length);
    if (start !== this.start) [this.start, this.computed] = [start, 0];
    const at = start + this.computed;
    const logits = this.model.forward(this.ids[at]!, this.computed, this.context);
    this.computed++;
    if (at + 1 === place) this.predict(place, logits);
    return true;
  }

  /** The next token. draw: a random number from 0 to below 1. */
  choice(sampling: Sampling, draw: number): number {
    const logits = this.logits.slice(0, this.vocab);
    if (sampling.repetition_penalty) withRepetitionPenalty(logits, new Set(this.ids), sampling.repetition_penalty);
    return choose(logits, sampling, draw);
  }

  append(id: number): void {
    compare(this.predictions[this.ids.length]!, this.logprobs, id);
    this.ids.push(id);
  }

  private predict(place: number, logits: Float32Array): void {
    const logprobs = logProbabilities(logits);
    const prediction = { ...FIRST, start: this.start };
    if (place < this.ids.length) compare(prediction, logprobs, this.ids[place]!);
    else [this.logits, this.logprobs] = [logits.slice(), logprobs];
    this.predictions.push(prediction);
  }
}

/** What a prediction says of the token that came. */
function compare(prediction: Prediction, logprobs: Float32Array, id: number): void {
  prediction.logprob = logprobs[id]!;
  prediction.rank = 0;
  for (const logprob of logprobs) if (logprob > prediction.logprob) prediction.rank++;
}
