// The same logits under other settings: what the sliders do, without asking the model again.
import { adjusted, probabilities } from "../page/sampling.ts";
import type { Distribution, Sampling } from "../views/types.ts";

/** found: as the server gave it; logits (V). The order of the likeliest is the same under all settings. */
export function weighed(found: Distribution, logits: Float32Array, sampling: Sampling): Distribution {
  const shares = probabilities(adjusted(logits, sampling));
  let left = 0;
  for (const share of shares) if (share > 0) left++;
  return { ...found, left, choices: found.choices.map((one) => ({ ...one, weighed: shares[one.id] ?? 0 })) };
}
