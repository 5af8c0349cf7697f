// The GPT: an embedding, a stack of transformer blocks, and a head that gives the logits of the next token.
// One token at a time, since the tokens before it are in the context. The same as homespun/model, without batches.
import type { BigramConfig, Config, GPTConfig } from "./config.ts";
import { Context } from "./context.ts";
import { ACTIVATIONS, add, applyRope, Linear, Norm, normHeads, rope } from "./layers.ts";
import { bytesFor, type Matrix, Memory } from "./products.ts";
import { Weights } from "./weights.ts";

/** What every kind of model can do: predict the next token. */
export interface Model {
  readonly config: Config;
  readonly memory: Memory;
  /** The token of that id at that position -> logits (V), which the next call writes over. */
  forward(id: number, position: number, context: Context | null): Float32Array;
}

/** Each position computes a weighted average of the values at earlier positions, in H heads side by side. */
class CausalSelfAttention {
  private readonly query: Linear;
  private readonly key: Linear;
  private readonly value: Linear;
  private readonly output: Linear;
  private readonly queryNorm: Float32Array | null;
  private readonly keyNorm: Float32Array | null;
  private readonly heads: Float32Array; // (H * D)

  constructor(
    memory: Memory,
    weights: Weights,
    name: string,
    private readonly config: GPTConfig,
    private readonly layer: number,
  ) {
    const linear = (part: string) => new Linear(memory, weights, `${name}.${part}`);
    this.query = linear("query");
    this.key = linear("key");
    this.value = linear("value");
    this.output = linear("output");
    this.queryNorm = config.qk_norm ? weights.vector(memory, `${name}.query_norm.weight`) : null;
    this.keyNorm = config.qk_norm ? weights.vector(memory, `${name}.key_norm.weight`) : null;
    this.heads = memory.float32(config.n_head * config.head_width);
  }

  /** x (C) -> (C) */
  forward(x: Float32Array, position: number, angles: Angles | null, context: Context): Float32Array {
    const { n_head, n_kv_head, head_width, norm_eps } = this.config;
    const q = this.query.forward(x).subarray(0, n_head * head_width);
    const k = this.key.forward(x).subarray(0, n_kv_head * head_width);
    const v = this.value.forward(x);
    if (this.queryNorm) normHeads(q, this.queryNorm, norm_eps);
    if (this.keyNorm) normHeads(k, this.keyNorm, norm_eps);
    if (angles) {
      applyRope(q, position, ...angles, head_width);
      applyRope(k, position, ...angles, head_width);
    }
    context.keep(this.layer, position, q, k, v);
    context.attend(this.layer, position, this.heads);
    return this.output.forward(this.heads);
  }
}

/** Up to n_inner, an activation, and down again: down(activation(up(x))), or down(activation(gate(x)) * up(x)). */
class FeedForward {
  private readonly up: Linear;
  private readonly down: Linear;
  private readonly gate: Linear | null;
  private readonly activation: (x: Float32Array) => void;

  constructor(memory: Memory, weights: Weights, name: string, config: GPTConfig) {
    this.up = new Linear(memory, weights, `${name}.up`);
    this.down = new Linear(memory, weights, `${name}.down`);
    this.gate = weights.has(`${name}.gate.weight`) ? new Linear(memory, weights, `${name}.gate`) : null;
    this.activation = ACTIVATIONS[config.feed_forward];
  }

  /** x (C) -> (C) */
  forward(x: Float32Array): Float32Array {
    const up = this.up.forward(x);
    if (this.gate) {
      const gate = this.gate.forward(x);
      this.activation(gate);
      for (let i = 0; i < up.length; i++) up[i]! *= gate[i]!;
    } else {
      this.activation(up);
    }
    return this.down.forward(up);
  }
}

/** Communication, then computation, each added to what was there. */
class Block {
  private readonly attentionNorm: Norm;
  private readonly attention: CausalSelfAttention;
  private readonly feedForwardNorm: Norm;
  private readonly feedForward: FeedForward;

  constructor(memory: Memory, weights: Weights, name: string, config: GPTConfig, layer: number) {
    this.attentionNorm = new Norm(memory, weights, `${name}.attention_norm`, config);
    this.attention = new CausalSelfAttention(memory, weights, `${name}.attention`, config, layer);
    this.feedForwardNorm = new Norm(memory, weights, `${name}.feed_forward_norm`, config);
    this.feedForward = new FeedForward(memory, weights, `${name}.feed_forward`, config);
  }

  /** x (C), changed in place */
  forward(x: Float32Array, position: number, angles: Angles | null, context: Context): void {
    add(x, this.attention.forward(this.attentionNorm.forward(x), position, angles, context));
    add(x, this.feedForward.forward(this.feedForwardNorm.forward(x)));
  }
}

type Angles = [Float32Array, Float32Array];

/** A decoder-only transformer, of the family that its config describes. */
export class GPT implements Model {
  readonly tokenEmbedding: Matrix;
  private readonly positionEmbedding: Matrix | null;
  private readonly blocks: Block[];
  private readonly finalNorm: Norm;
  private readonly head: Linear;
  private readonly angles: Angles | null;
  private readonly x: Float32Array;
  private readonly embedded: Float32Array;

  constructor(
    readonly config: GPTConfig,
    weights: Weights,
    readonly memory: Memory,
  ) {
    const { n_layer, n_embd, context_length, head_width, rotary_base } = config;
    this.tokenEmbedding = weights.matrix(memory, "token_embedding.weight");
    this.positionEmbedding = config.position === "learned" ? weights.matrix(memory, "position_embedding.weight") : null;
    this.blocks = [...Array(n_layer).keys()].map((n) => new Block(memory, weights, `blocks.${n}`, config, n));
    this.finalNorm = new Norm(memory, weights, "final_norm", config);
    this.head = config.tied_head
      ? new Linear(memory, weights, "head", this.tokenEmbedding)
      : new Linear(memory, weights, "head");
    this.angles = config.position === "rotary" ? rope(context_length, head_width, rotary_base) : null;
    this.x = memory.float32(n_embd);
    this.embedded = memory.float32(n_embd);
  }

  forward(id: number, position: number, context: Context): Float32Array {
    const { x } = this;
    this.tokenEmbedding.row(id, x); // (C)
    if (this.positionEmbedding) {
      this.positionEmbedding.row(position, this.embedded);
      add(x, this.embedded);
    }
    this.blocks.forEach((block, layer) => {
      context.keepResidual(layer, position, x);
      block.forward(x, position, this.angles, context); // (C)
    });
    context.keepResidual(this.config.n_layer, position, x);
    return this.logits(x);
  }

  /** The residual stream x (C) at any layer -> logits (V): behind the last block what the model says, before it
   *  the logit lens (nostalgebraist 2020). */
  logits(x: Float32Array): Float32Array {
    return this.head.forward(this.finalNorm.forward(x)).subarray(0, this.config.vocab_size);
  }
}

/** One table: row i holds the logits of what comes after token i. */
export class Bigram implements Model {
  private readonly table: Matrix;
  private readonly out: Float32Array;

  constructor(
    readonly config: BigramConfig,
    weights: Weights,
    readonly memory: Memory,
  ) {
    this.table = weights.matrix(memory, "table.weight");
    this.out = memory.float32(config.vocab_size);
  }

  forward(id: number): Float32Array {
    this.table.row(id, this.out);
    return this.out.subarray(0, this.config.vocab_size);
  }
}

const CONTEXTS = 2; // the text that is being written, and another window to look back at

/** The model of that config. wasm: the compiled kernel; null computes in plain JavaScript. */
export function build(config: Config, weights: Weights, wasm: WebAssembly.Module | null): Model {
  if (config.kind === "table") {
    return new Bigram(config, weights, new Memory(weights.bytes + bytesFor(config.vocab_size, 4), wasm));
  }
  return new GPT(config, weights, new Memory(weights.bytes + working(config) + CONTEXTS * Context.bytes(config), wasm));
}

/** The bytes that the layers' results take: what each Linear and Norm computes into. */
function working({ n_layer, n_head, n_kv_head, head_width, n_embd, n_inner, vocab_size }: GPTConfig): number {
  const vector = (length: number) => bytesFor(length, 4);
  const attention = 2 * vector(n_head * head_width) + 2 * vector(n_kv_head * head_width) + vector(n_embd);
  const block = attention + 2 * vector(n_inner) + 3 * vector(n_embd) + 4 * vector(head_width);
  return n_layer * block + 4 * vector(n_embd) + vector(vocab_size);
}
