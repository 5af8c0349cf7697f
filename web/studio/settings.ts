// Sampling settings, as the address keeps them.
import type { Query } from "./route.ts";
import type { Sampling } from "../views/types.ts";

const number = (text: string | undefined): number | null => {
  const value = Number(text);
  return text === undefined || text === "" || !Number.isFinite(value) ? null : value;
};

export function samplingOf(query: Query, usual: Sampling): Sampling {
  return {
    ...usual,
    temperature: Math.min(2, Math.max(0, number(query.temperature) ?? usual.temperature)),
    top_k: number(query.top_k) ?? usual.top_k,
    top_p: number(query.top_p) ?? usual.top_p,
    min_p: number(query.min_p) ?? usual.min_p,
  };
}

export function queryOf(sampling: Sampling, usual: Sampling): Query {
  const one = (name: "temperature" | "top_k" | "top_p" | "min_p") =>
    sampling[name] === usual[name] ? "" : String(sampling[name] ?? "");
  return { temperature: one("temperature"), top_k: one("top_k"), top_p: one("top_p"), min_p: one("min_p") };
}

export const seedOf = (query: Query): number | null => {
  const seed = number(query.seed);
  return seed !== null && Number.isInteger(seed) && seed >= 0 ? seed : null;
};

export const tokensOf = (query: Query, usual = 200): number =>
  Math.min(5000, Math.max(1, Math.round(number(query.tokens) ?? usual)));
