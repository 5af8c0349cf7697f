// What is inside: attention, the logit lens, the embedding. The same arrays as homespun/insight, of any place in a text.
import type { Attention, AttentionMaps, Embedding, Lens } from "../views/types.ts";
import { Context } from "./context.ts";
import { GPT } from "./gpt.ts";
import { argmax, largest, logProbabilities } from "./sampling.ts";

/** A view's value, with ids where that has tokens as text. */
type LensOfIds = Omit<Lens, "tokens" | "came">;
type EmbeddingOfIds = Omit<Embedding, "tokens" | "nearest"> & { nearest: number[][] };

/** A second context beside that of the text: the window that is looked at. */
export class Insight {
  private readonly context: Context;
  private ids: number[] = []; // that the context holds

  constructor(private readonly model: GPT) {
    this.context = new Context(model.memory, model.config);
  }

  /** The window that begins at `start`, computed up to a place of these ids: how many tokens it has there. */
  private look(ids: number[], start: number, place: number): number {
    const window = ids.slice(start, place);
    let same = 0;
    while (same < window.length && window[same] === this.ids[same]) same++;
    for (let position = same; position < window.length; position++) {
      this.model.forward(window[position]!, position, this.context);
    }
    if (same < window.length) this.ids = window;
    return window.length;
  }

  attention(ids: number[], start: number, place: number): Attention {
    const { n_layer: layers, n_head: heads } = this.model.config;
    const seen = this.look(ids, start, place);
    const weights = new Float32Array(layers * heads * seen);
    for (let row = 0; row < layers * heads; row++) {
      weights.set(this.context.weights(Math.floor(row / heads), row % heads, seen - 1), row * seen);
    }
    return { place, start, layers, heads, weights };
  }

  /** Of the last `most` places before a place, as each attends to the others. */
  maps(ids: number[], start: number, place: number, most: number): AttentionMaps {
    const { n_layer: layers, n_head: heads } = this.model.config;
    const seen = this.look(ids, start, place);
    const size = Math.min(most, seen);
    const weights = new Float32Array(layers * heads * size * size);
    for (let row = 0; row < layers * heads * size; row++) {
      const [head, query] = [Math.floor(row / size), row % size];
      const position = seen - size + query;
      const own = this.context.weights(Math.floor(head / heads), head % heads, position);
      weights.set(own.subarray(seen - size), row * size);
    }
    return { size, layers, heads, weights };
  }

  /** Of the `places` predictions up to that of a place. vocab: ids that the tokenizer has. */
  lens(ids: number[], start: number, place: number, places: number, vocab: number): LensOfIds {
    const seen = this.look(ids, start, place);
    const layers = this.model.config.n_layer + 1;
    const count = Math.min(places, seen);
    const lens: LensOfIds = {
      first: place - count + 1, places: count, layers,
      ids: new Int32Array(layers * count), logprobs: new Float32Array(layers * count),
    };
    for (let layer = 0; layer < layers; layer++) {
      for (let column = 0; column < count; column++) {
        const x = this.context.residual(layer, seen - count + column);
        const logprobs = logProbabilities(this.model.logits(x)).subarray(0, vocab);
        const id = argmax(logprobs);
        lens.ids[layer * count + column] = id;
        lens.logprobs[layer * count + column] = logprobs[id]!;
      }
    }
    return lens;
  }

  /** The logits (V) with which the token at a place was predicted. */
  logits(ids: number[], start: number, place: number): Float32Array {
    const seen = this.look(ids, start, place);
    return this.model.logits(this.context.residual(this.model.config.n_layer, seen - 1)).slice();
  }
}

/** The rows of the token embedding projected on the two directions in which they vary most. */
export function embedding(model: GPT, ids: number[], neighbours: number): EmbeddingOfIds {
  const width = model.config.n_embd;
  const padded = new Float32Array(width);
  const rows = ids.map((id) => {
    model.tokenEmbedding.row(id, padded);
    return padded.slice();
  });
  const mean = new Float64Array(width);
  for (const row of rows) row.forEach((v, i) => (mean[i]! += v / rows.length));
  const centred = rows.map((row) => Float64Array.from(row, (v, i) => v - mean[i]!));
  const total = centred.reduce((sum, row) => sum + dot(row, row), 0);
  const points = new Float32Array(2 * rows.length);
  const shares: [number, number] = [0, 0];
  const found: Float64Array[] = [];
  for (const which of [0, 1] as const) {
    const direction = leading(centred, found);
    found.push(direction);
    let squares = 0;
    centred.forEach((row, n) => {
      const along = dot(row, direction);
      points[2 * n + which] = along;
      squares += along * along;
    });
    shares[which] = total > 0 ? squares / total : 0;
  }
  const lengths = rows.map((row) => Math.sqrt(dot(row, row)) || 1);
  const nearest = rows.map((row, n) => {
    const cosines = Float32Array.from(rows, (other, m) => (m === n ? -2 : dot(row, other) / (lengths[n]! * lengths[m]!)));
    return largest(cosines, Math.min(neighbours, rows.length - 1)).map((m) => ids[m]!);
  });
  return { ids, points, shares, nearest };
}

const ROUNDS = 300;

/** The direction of length one in which the rows vary most, at right angles to those found: power iteration. */
function leading(rows: Float64Array[], found: Float64Array[]): Float64Array {
  const width = rows[0]?.length ?? 0;
  let direction = Float64Array.from({ length: width }, (_, i) => Math.sin(1 + i * (found.length + 1)));
  for (let round = 0; round < ROUNDS; round++) {
    for (const other of found) {
      const along = dot(direction, other);
      direction.forEach((_, i) => (direction[i]! -= along * other[i]!));
    }
    const next = new Float64Array(width);
    for (const row of rows) {
      const along = dot(row, direction);
      for (let i = 0; i < width; i++) next[i]! += along * row[i]!;
    }
    const size = Math.sqrt(dot(next, next));
    if (size === 0) return direction;
    direction = next.map((v) => v / size);
  }
  return direction;
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
