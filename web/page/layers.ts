// The small parts of a block: linear layers, norms, rotary positions, activations, softmax.
// A vector is computed in place or into `out`: nothing is allocated while the model runs.
import type { GPTConfig } from "./config.ts";
import type { Matrix, Memory } from "./products.ts";
import type { Weights } from "./weights.ts";

/** x (inputs) -> x W' + b (outputs). */
export class Linear {
  readonly out: Float32Array;
  private readonly bias: Float32Array | null;

  constructor(
    memory: Memory,
    weights: Weights,
    name: string,
    private readonly weight: Matrix = weights.matrix(memory, `${name}.weight`),
  ) {
    this.bias = weights.has(`${name}.bias`) ? weights.vector(memory, `${name}.bias`) : null;
    this.out = memory.float32(this.weight.rows);
  }

  forward(x: Float32Array): Float32Array {
    this.weight.times(x, this.out);
    if (this.bias) add(this.out, this.bias);
    return this.out;
  }
}

/** RMSNorm, x / sqrt(mean(x²)) * weight; or layer normalisation, which takes the mean away first and has a bias. */
export class Norm {
  readonly out: Float32Array;
  private readonly weight: Float32Array;
  private readonly bias: Float32Array | null;

  constructor(
    memory: Memory,
    weights: Weights,
    name: string,
    private readonly config: GPTConfig,
  ) {
    this.weight = weights.vector(memory, `${name}.weight`);
    this.bias = weights.has(`${name}.bias`) ? weights.vector(memory, `${name}.bias`) : null;
    this.out = memory.float32(this.weight.length);
  }

  forward(x: Float32Array): Float32Array {
    const { weight, bias, out } = this;
    const width = weight.length;
    let mean = 0;
    if (this.config.norm === "layernorm") {
      for (let i = 0; i < width; i++) mean += x[i]!;
      mean /= width;
    }
    let squares = 0;
    for (let i = 0; i < width; i++) squares += (x[i]! - mean) ** 2;
    const size = 1 / Math.sqrt(squares / width + this.config.norm_eps);
    for (let i = 0; i < width; i++) out[i] = (x[i]! - mean) * size * weight[i]!;
    if (bias) add(out, bias);
    return out;
  }
}

/** Queries and keys of length one (RMSNorm over each head), in place. */
export function normHeads(x: Float32Array, weight: Float32Array, eps: number): void {
  const width = weight.length;
  for (let head = 0; head < x.length; head += width) {
    let squares = 0;
    for (let i = head; i < head + width; i++) squares += x[i]! * x[i]!;
    const size = 1 / Math.sqrt(squares / width + eps);
    for (let i = 0; i < width; i++) x[head + i]! *= size * weight[i]!;
  }
}

/** The cosines and sines of all angles, (T, D/2) each: pair i rotates by position / base^(2i/D). */
export function rope(positions: number, headWidth: number, base: number): [Float32Array, Float32Array] {
  const half = headWidth / 2;
  const cosines = new Float32Array(positions * half);
  const sines = new Float32Array(positions * half);
  for (let i = 0; i < half; i++) {
    const frequency = Math.fround(base ** -((2 * i) / headWidth));
    for (let position = 0; position < positions; position++) {
      const angle = Math.fround(position * frequency);
      cosines[position * half + i] = Math.cos(angle);
      sines[position * half + i] = Math.sin(angle);
    }
  }
  return [cosines, sines];
}

/** Every pair of every head rotated by the angle of its position, in place. The halves of a head are the pairs. */
export function applyRope(
  x: Float32Array, position: number, cosines: Float32Array, sines: Float32Array, headWidth: number,
): void {
  const half = headWidth / 2;
  const angle = position * half;
  for (let head = 0; head < x.length; head += headWidth) {
    for (let i = 0; i < half; i++) {
      const [first, second] = [x[head + i]!, x[head + half + i]!];
      const [cosine, sine] = [cosines[angle + i]!, sines[angle + i]!];
      x[head + i] = first * cosine - second * sine;
      x[head + half + i] = second * cosine + first * sine;
    }
  }
}

const ROOT = Math.sqrt(2 / Math.PI);

/** The error function, for x from 0; 1.5e-7 off at most (Abramowitz and Stegun 1964, 7.1.26). */
function erf(x: number): number {
  const t = 1 / (1 + 0.3275911 * x);
  const sum = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return 1 - sum * Math.exp(-x * x);
}

/** In place. gelu is GPT-2's, with a tanh. swiglu's is that of its gate, silu. */
export const ACTIVATIONS: Record<GPTConfig["feed_forward"], (x: Float32Array) => void> = {
  gelu(x) {
    for (let i = 0; i < x.length; i++) {
      const v = x[i]!;
      x[i] = 0.5 * v * (1 + Math.tanh(ROOT * (v + 0.044715 * v * v * v)));
    }
  },
  gelu_exact(x) {
    for (let i = 0; i < x.length; i++) x[i]! *= 0.5 * (1 + Math.sign(x[i]!) * erf(Math.abs(x[i]!) * Math.SQRT1_2));
  },
  relu(x) {
    for (let i = 0; i < x.length; i++) x[i] = Math.max(x[i]!, 0);
  },
  swiglu(x) {
    for (let i = 0; i < x.length; i++) x[i]! /= 1 + Math.exp(-x[i]!);
  },
};

/** Scores -> weights that add up to one, in place, of the first `length`. */
export function softmax(x: Float32Array, length: number): void {
  let highest = -Infinity;
  for (let i = 0; i < length; i++) highest = Math.max(highest, x[i]!);
  let sum = 0;
  for (let i = 0; i < length; i++) sum += x[i] = Math.exp(x[i]! - highest);
  for (let i = 0; i < length; i++) x[i]! /= sum;
}

export function add(x: Float32Array, y: Float32Array): void {
  for (let i = 0; i < y.length; i++) x[i]! += y[i]!;
}
