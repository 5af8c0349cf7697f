// The shape of a model, in the words of homespun/model/config.py. Python writes it, and nothing here asks for a
// family's name: each setting says itself what is computed.

export interface GPTConfig {
  kind: "gpt";
  family: string;
  vocab_size: number; // V
  context_length: number; // T at most, the tokens that the model looks at
  n_layer: number;
  n_head: number; // H
  n_kv_head: number; // G, heads that keys and values are made for
  n_embd: number; // C
  n_inner: number;
  head_width: number; // D
  norm: "rmsnorm" | "layernorm";
  norm_eps: number;
  position: "rotary" | "learned";
  feed_forward: "swiglu" | "gelu" | "gelu_exact" | "relu";
  qk_norm: boolean;
  tied_head: boolean;
  rotary_base: number;
  scale: number; // what a query's product with a key is multiplied with
}

export interface BigramConfig {
  kind: "table";
  family: string;
  vocab_size: number;
  context_length: number;
}

export type Config = GPTConfig | BigramConfig;
