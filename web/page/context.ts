// What attention keeps of the tokens before: keys and values, so that each token is computed once (a KV cache).
// Beside them queries and the residual stream, which the views ask for: attention and the logit lens.
import type { GPTConfig } from "./config.ts";
import { bytesFor, filledUp, type Memory } from "./products.ts";
import { softmax } from "./layers.ts";

export class Context {
  private readonly keys: Float32Array[]; // per layer (G, T, D)
  private readonly values: Float32Array[]; // per layer (G, D, T): the weighted average is a matrix product, too
  private readonly queries: Float32Array[]; // per layer (T, H * D)
  private readonly residuals: Float32Array[]; // before each block and behind the last, (T, C)
  private readonly scores: Float32Array;
  private readonly query: Float32Array; // of one head, filled up with zeros
  private readonly length: number; // T, filled up to a multiple of 4
  private readonly width: number; // D, filled up

  constructor(
    private readonly memory: Memory,
    private readonly config: GPTConfig,
  ) {
    const { n_layer, n_head, n_kv_head, head_width, n_embd, context_length } = config;
    [this.length, this.width] = [filledUp(context_length, 4), filledUp(head_width, 4)];
    const layers = [...Array(n_layer).keys()];
    const cached = n_kv_head * this.length * this.width;
    this.keys = layers.map(() => memory.float32(cached));
    this.values = layers.map(() => memory.float32(cached));
    this.queries = layers.map(() => memory.float32(context_length * n_head * head_width));
    this.residuals = [...layers, n_layer].map(() => memory.float32(context_length * n_embd));
    this.scores = memory.float32(this.length);
    this.query = memory.float32(this.width);
  }

  static bytes({ n_layer, n_head, n_kv_head, head_width, n_embd, context_length }: GPTConfig): number {
    const [length, width] = [filledUp(context_length, 4), filledUp(head_width, 4)];
    const layer = 2 * bytesFor(n_kv_head * length * width, 4) + bytesFor(context_length * n_head * head_width, 4);
    const residual = bytesFor(context_length * n_embd, 4);
    return n_layer * layer + (n_layer + 1) * residual + bytesFor(length, 4) + bytesFor(width, 4);
  }

  /** What the stream holds at a position before the block of that index; n_layer: behind the last block. */
  residual(layer: number, position: number): Float32Array {
    const { n_embd } = this.config;
    return this.residuals[layer]!.subarray(position * n_embd, (position + 1) * n_embd);
  }

  keepResidual(layer: number, position: number, x: Float32Array): void {
    this.residual(layer, position).set(x.subarray(0, this.config.n_embd));
  }

  /** Keeps the key and value (G * D) of a position, and its query (H * D). */
  keep(layer: number, position: number, q: Float32Array, k: Float32Array, v: Float32Array): void {
    const { n_head, n_kv_head, head_width } = this.config;
    const { length, width } = this;
    const [keys, values] = [this.keys[layer]!, this.values[layer]!];
    for (let head = 0; head < n_kv_head; head++) {
      const key = (head * length + position) * width;
      const value = head * width * length + position;
      for (let i = 0; i < head_width; i++) {
        keys[key + i] = k[head * head_width + i]!;
        values[value + i * length] = v[head * head_width + i]!;
      }
    }
    this.queries[layer]!.set(q.subarray(0, n_head * head_width), position * n_head * head_width);
  }

  /** softmax(q kᵀ · scale) of the query that was kept at a position, by one head: (position + 1) weights. */
  weights(layer: number, head: number, position: number): Float32Array {
    const { n_head, n_kv_head, head_width, scale } = this.config;
    const { query, scores, length, width } = this;
    const first = (position * n_head + head) * head_width;
    for (let i = 0; i < head_width; i++) query[i] = this.queries[layer]![first + i]! * scale;
    const seen = position + 1;
    const shared = Math.floor(head / (n_head / n_kv_head)); // several heads of queries may share a key
    const keys = this.keys[layer]!.byteOffset + 4 * shared * length * width;
    this.memory.kernel.float32(scores.byteOffset, keys, query.byteOffset, seen, width, 4 * width);
    softmax(scores, seen);
    scores.fill(0, seen, filledUp(seen, 4));
    return scores.subarray(0, seen);
  }

  /** The average of the values before, by the weights of each head: out (H * D). */
  attend(layer: number, position: number, out: Float32Array): void {
    const { n_head, n_kv_head, head_width } = this.config;
    const { query: average, scores, length, width } = this;
    for (let head = 0; head < n_head; head++) {
      const seen = filledUp(this.weights(layer, head, position).length, 4);
      const shared = Math.floor(head / (n_head / n_kv_head));
      const values = this.values[layer]!.byteOffset + 4 * shared * width * length;
      this.memory.kernel.float32(average.byteOffset, values, scores.byteOffset, width, seen, 4 * length);
      for (let i = 0; i < head_width; i++) out[head * head_width + i] = average[i]!;
    }
  }
}
