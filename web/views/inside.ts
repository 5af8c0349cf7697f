// What the views of a model's inside show: the values of homespun/insight, as their as_object() gives them. Large
// arrays are flat, row by row.

/** How much attention goes where a role says, from 0 to 1; null: the text has no place to measure it at. */
export interface RoleScore {
  role: string;
  score: number | null;
  chance: number | null; // by uniform attention
  by_distance: number | null; // by the same attention to each distance, whatever the text says
  above: number | null; // score minus the larger of the two
  queries: number;
}

/** A place where a head attends mostly to one token. query, at: the characters of the two tokens in their texts. */
export interface Surest {
  place: number;
  key: number;
  weight: number;
  tokens: [string, string];
  text: string;
  query: [number, number];
  around: string;
  at: [number, number];
}

export interface HeadCard {
  layer: number;
  head: number;
  role: string | null; // null: none stands out
  back: number; // the k of "k tokens back"
  entropy: number; // bits
  roles: RoleScore[];
  surest: Surest[];
}

export interface HeadRoles {
  tokens: number; // of held-out text
  uniform_entropy: number;
  heads: HeadCard[];
}

/** The loss without each head, one at a time, in nats per token: (layers)(heads). */
export interface HeadAblations {
  loss: number;
  replacement: string;
  tokens: number;
  change: number[][];
  error: number[][]; // standard errors of the changes
}

/** The loss without a set of heads. */
export interface SwitchedOff {
  heads: [number, number][];
  replacement: string;
  loss: number;
  without: number;
  change: number;
}

export interface Peak {
  place: number;
  value: number;
  text: string;
  token: [number, number];
}

export interface Neuron {
  layer: number;
  neuron: number;
  property: string | null; // null: it is never active
  correlation: number | null; // on text on which the property was not chosen
  auc: number | null; // null: the property is a count
  active: number; // share of the places with an activation above zero
  mean: number;
  std: number;
  peaks: Peak[];
}

export interface Neurons {
  tokens: number;
  layers: number;
  width: number;
  properties: { property: string; share: number; neurons: number }[];
  neurons: Neuron[]; // the best explained first
}

/** One neuron over a text. */
export interface Activations {
  layer: number;
  neuron: number;
  tokens: readonly string[];
  values: ArrayLike<number>;
}

export interface Tensor {
  name: string;
  layer: number | null;
  kind: string;
  shape: number[];
  count: number;
  mean: number;
  std: number;
  shared: string[];
}

export interface Parameters {
  total: number;
  tensors: Tensor[];
}

/** A matrix as a picture of height x width pixels; each is the mean or the extreme of a block. */
export interface MatrixPicture {
  name: string;
  shape: [number, number];
  height: number;
  width: number;
  values: ArrayLike<number>;
  block: [number, number];
  how: string;
  smallest: number;
  largest: number;
  std: number;
}

export interface CopiedPiece {
  start: number;
  length: number; // tokens
  characters: [number, number]; // of the text
  place: number; // in the training text
  count: number; // how often it stands there
  before: string;
  after: string;
}

export interface CopiedPieces {
  text: string;
  tokens: number;
  least: number;
  pieces: CopiedPiece[];
  share: number;
  longest: number;
  expected: number | null; // the share of held-out text
  expected_longest: number | null;
}

/** The token embedding at each of some evaluations of a run, on the two main directions of the last. */
export interface EmbeddingHistory {
  steps: number[];
  tokens: string[];
  points: ArrayLike<number>; // (steps, tokens, 2)
  shares: [number, number][]; // of the variance, at each step
  moved: number[];
}

export const signed = (value: number, digits = 3): string => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;

export const nameOfHead = (layer: number, head: number): string => `layer ${layer}, head ${head}`;
