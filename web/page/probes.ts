// Does this page compute what the original computes? Held to what Python wrote into it.
import type { Probes } from "./page_data.ts";
import { Random } from "./random.ts";
import { Sequence } from "./sequence.ts";
import type { Tokenizer } from "./tokenizer/tokenizer.ts";

// Nats between the page and Python with the same rounded weights: only the order of sums and the 16 bits of the
// vectors differ. Measured: below 0.003 for every family.
const SAME = 0.02;

export interface Proof {
  holds: boolean;
  places: number;
  apart: number; // nats from the original, on average
  rounding: number; // the largest difference from the same rounded weights in Python
  texts: number; // whose ids are equal
  written: number; // tokens that a seed gives here as there, of those that were tried
  problem: string;
}

/** Runs one step at a time, so that the page stays responsive: the last value is the result. */
export function* prove(tokenizer: Tokenizer, probes: Probes, sequence: Sequence): Generator<void, Proof> {
  const proof: Proof = { holds: true, places: 0, apart: 0, rounding: 0, texts: 0, written: 0, problem: "" };
  const fails = (problem: string) => {
    if (proof.holds) [proof.holds, proof.problem] = [false, problem];
  };
  for (const { text, ids, decoded } of probes.texts) {
    const found = tokenizer.encode(text);
    if (found.length !== ids.length || found.some((id, place) => id !== ids[place])) {
      fails(`the text ${JSON.stringify(text.slice(0, 30))} gets other ids`);
    }
    const stream = tokenizer.stream();
    const back = ids.map((id) => stream.push(id)).join("") + stream.flush();
    if (back !== (decoded ?? text)) fails(`the ids of ${JSON.stringify(text.slice(0, 30))} give another text`);
    proof.texts++;
    yield;
  }
  for (const { ids, original, rounded } of probes.places) {
    sequence.replace([]);
    sequence.replace(ids);
    while (sequence.step()) yield;
    for (let place = 1; place < ids.length; place++) {
      const { logprob } = sequence.predictions[place]!;
      const [apart, rounding] = [logprob - original[place - 1]!, logprob - rounded[place - 1]!].map(Math.abs);
      proof.apart += apart!;
      proof.rounding = Math.max(proof.rounding, Number.isFinite(rounding) ? rounding! : Infinity);
      proof.places++;
    }
  }
  proof.apart /= Math.max(1, proof.places);
  if (!(proof.apart <= probes.apart)) fails(`its predictions are ${proof.apart.toPrecision(2)} nats from the original's`);
  if (!(proof.rounding <= SAME)) fails(`a prediction is ${proof.rounding.toPrecision(2)} nats from what it should be`);
  const { seed, prompt, ids, sampling } = probes.written;
  const random = new Random(BigInt(seed));
  sequence.replace(prompt);
  for (const id of ids) {
    while (sequence.step()) yield;
    if (sequence.choice(sampling, random.draw()) !== id) break;
    sequence.append(id);
    proof.written++;
  }
  return proof;
}
