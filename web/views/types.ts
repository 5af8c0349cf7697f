// What the views show: plain values, whoever computes them (the page's worker, the studio's server).

/** A piece of text that one or more tokens complete. place: of the first of them in the model's ids. */
export interface Cell {
  text: string;
  place: number;
  tokens: number;
  bits: number; // surprise: -log2 of the probability of what stands there; NaN where nothing was predicted
  rank: number; // how many tokens were likelier
}

/** How one token is chosen. null: off. Temperature 0 always takes the likeliest. */
export interface Sampling {
  temperature: number;
  top_k: number | null;
  top_p: number | null;
  min_p: number | null;
  repetition_penalty: number | null;
}

export interface Choice {
  id: number;
  token: string;
  probability: number; // by the model
  weighed: number; // as the sampling settings leave it
}

/** How the next token is distributed at a place. */
export interface Distribution {
  place: number;
  choices: Choice[]; // the likeliest first
  left: number; // how many tokens the settings leave
  entropy: number; // bits, by the model
}

/** What the model attended to when it predicted the token at a place. */
export interface Attention {
  place: number;
  start: number; // the first place that could be attended to; the last is place - 1
  layers: number;
  heads: number;
  weights: Float32Array; // (layers, heads, place - start), each row adds up to one
}

/** The last places before a place, as each attends to the others: (layers, heads, size, size). */
export interface AttentionMaps {
  size: number;
  layers: number;
  heads: number;
  weights: Float32Array;
}

/** What the head would say of the residual stream before each block, and behind the last one. */
export interface Lens {
  first: number; // the place that the first column predicts
  places: number;
  layers: number; // n_layer + 1
  ids: Int32Array; // (layers, places): the likeliest token
  logprobs: Float32Array; // of it
  tokens: string[];
  came: string[]; // (places): the token that stands there, "" where none does
}

/** The token embedding on the two directions in which its rows vary most (PCA). */
export interface Embedding {
  ids: number[];
  tokens: string[];
  points: Float32Array; // (ids, 2)
  shares: [number, number]; // of the variance
  nearest: string[][]; // of each token, the most similar others, by the cosine
}

export interface Message {
  role: string;
  content: string;
}
