// Choosing a token: plain functions of logits (V), as in homespun/generation/sampling.py, applied in this order:
// repetition penalty, temperature, top-k, top-p, min-p, then the draw. A token that may not be chosen has -Infinity.
import type { Sampling } from "../views/types.ts";

const COLDEST = 1e-6; // divided by less than this, logits overflow

/** logits (V) -> their log softmax, in nats. */
export function logProbabilities(logits: Float32Array): Float32Array {
  let highest = -Infinity;
  for (const logit of logits) highest = Math.max(highest, logit);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - highest);
  const all = highest + Math.log(sum);
  return logits.map((logit) => logit - all);
}

export const probabilities = (logits: Float32Array): Float32Array => logProbabilities(logits).map(Math.exp);

/** Tokens that are in the text already become less likely (Keskar et al. 2019, arXiv 1909.05858), in place. */
export function withRepetitionPenalty(logits: Float32Array, seen: Iterable<number>, penalty: number): void {
  for (const id of seen) {
    if (id < logits.length) logits[id] = logits[id]! > 0 ? logits[id]! / penalty : logits[id]! * penalty;
  }
}

export function argmax(values: Float32Array): number {
  let best = 0;
  for (let id = 1; id < values.length; id++) if (values[id]! > values[best]!) best = id;
  return best;
}

/** The k largest stay; equals of the k-th stay with it. */
export function keepTopK(logits: Float32Array, k: number): void {
  if (k >= logits.length) return;
  const smallestKept = logits.slice().sort()[logits.length - k]!;
  for (let id = 0; id < logits.length; id++) if (logits[id]! < smallestKept) logits[id] = -Infinity;
}

/** The likeliest stay, as many as it takes to have probability p (Holtzman et al. 2019, arXiv 1904.09751). */
export function keepTopP(logits: Float32Array, p: number): void {
  if (p >= 1) return;
  const shares = probabilities(logits);
  const order = Array.from(logits.keys()).sort((a, b) => logits[b]! - logits[a]! || a - b);
  let likelier = 0;
  order.forEach((id, place) => {
    if (place > 0 && likelier >= p) logits[id] = -Infinity;
    likelier += shares[id]!;
  });
}

/** Tokens stay that are at least p times as likely as the likeliest (Nguyen et al. 2024, arXiv 2407.01082). */
export function keepMinP(logits: Float32Array, p: number): void {
  const shares = probabilities(logits);
  const least = p * shares[argmax(shares)]!;
  for (let id = 0; id < logits.length; id++) if (shares[id]! < least) logits[id] = -Infinity;
}

/** The logits (V) as sampling leaves them: what is drawn from. Temperature 0 leaves the likeliest alone. */
export function adjusted(logits: Float32Array, sampling: Sampling): Float32Array {
  const left = logits.slice();
  if (sampling.temperature < COLDEST) {
    left.fill(-Infinity);
    left[argmax(logits)] = 0;
    return left;
  }
  for (let id = 0; id < left.length; id++) left[id]! /= sampling.temperature;
  if (sampling.top_k !== null) keepTopK(left, sampling.top_k);
  if (sampling.top_p !== null) keepTopP(left, sampling.top_p);
  if (sampling.min_p !== null) keepMinP(left, sampling.min_p);
  return left;
}

/** logits (V), draw from 0 to below 1 -> id, by the inverse of the cumulative distribution. */
export function choose(logits: Float32Array, sampling: Sampling, draw: number): number {
  const shares = probabilities(adjusted(logits, sampling));
  let all = 0;
  for (const share of shares) all += share;
  let end = 0;
  let last = 0;
  for (let id = 0; id < shares.length; id++) {
    if (shares[id]! > 0) last = id;
    end += shares[id]!;
    if (end > draw * all) return id;
  }
  return last; // where rounding leaves the draw at the very end
}

/** The k largest, the largest first: their ids. */
export function largest(values: Float32Array, k: number): number[] {
  const best: number[] = [];
  for (let id = 0; id < values.length; id++) {
    if (best.length === k && values[id]! <= values[best[k - 1]!]!) continue;
    let at = best.length;
    while (at > 0 && values[best[at - 1]!]! < values[id]!) at--;
    best.splice(at, 0, id);
    if (best.length > k) best.pop();
  }
  return best;
}
