// What Python writes into a page beside the weights (homespun/interop/page/write.py).
import type { Config } from "./config.ts";
import type { Sampling } from "../views/types.ts";
import type { TokenizerData } from "./tokenizer/tokenizer.ts";

export interface PageData {
  version: number;
  card: Card;
  config: Config;
  tokenizer: TokenizerData;
  opening: number[]; // ids before every text
  first: number; // what an empty text starts from
  ends: number[]; // ids that end a text
  sampling: Sampling; // how the model wants to be sampled from
  chat: ChatData | null;
  probes: Probes;
}

export interface Card {
  name: string;
  parameters: number;
  facts: [string, string][]; // what was trained, when, on which text, with which loss, under which licence
  precision: string;
  version: string; // of homespun
}

/** How a conversation is written: by a form where every turn is alike, else by the model's own template in Jinja. */
export interface ChatData {
  form: Form | null;
  template: string | null;
  names: Record<string, string>; // bos_token, eos_token, …
  ends: number[]; // ids that end an answer
  system: boolean; // whether it takes a system text
}

export interface Form {
  head: string;
  unasked: string;
  before: Record<string, string>;
  behind: Record<string, string>;
  answer: string;
}

/** What the original computes, for the page to be held to. */
export interface Probes {
  texts: { text: string; ids: number[]; decoded: string | null }[];
  places: { ids: number[]; original: number[]; rounded: number[] }[]; // log-probabilities of ids[1:], in nats
  written: { seed: number; prompt: number[]; ids: number[]; sampling: Sampling };
  apart: number; // nats: the most that is allowed between page and original, on average
}
