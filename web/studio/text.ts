// A text that was chosen, as the address keeps it: "named:shakespeare", "path:letters/1987.txt", "upload:…".
import type { Schemas } from "./api.ts";

export type Choice = Schemas["LookRequest"]["text"];

export function noted(choice: Choice): string {
  return choice.kind === "path" ? `path:${choice.path}`
    : choice.kind === "upload" ? `upload:${choice.upload}`
    : `named:${choice.name}`;
}

export function chosen(note: string | undefined): Choice | null {
  const [, kind, rest] = /^(path|upload|named):(.+)$/s.exec(note ?? "") ?? [];
  if (!kind || !rest) return null;
  if (kind === "path") return { kind, path: rest };
  if (kind === "upload") return /^[0-9a-f]{16}$/.test(rest) ? { kind, upload: rest } : null;
  return /^[a-z][a-z0-9-]{0,40}$/.test(rest) ? { kind: "named", name: rest } : null;
}

/** A text, in what `homespun data show --json` says, as far as the page uses it. */
interface Described {
  title: string;
  documents: number;
  characters: number;
  alphabet_size: number;
  read_as: Record<string, number>;
  encodings: Record<string, number>;
  beginnings: [string, string][];
  notes: string[];
  training: { tokenizer: string; why: string; vocab_size: number; train_characters: number; val_characters: number; split: string } | null;
  conversations: Conversations | null;
}
interface Conversations {
  count: number;
  said: string;
  notes: string[];
  examples: [string, [string, string][]][];
}
export type Shown = Described | { conversations: Conversations }; // the second: conversations that are no text

// The slider of minutes: equal ratios take equal ways.
export const MINUTES = [0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720, 1440] as const;

/** The step of the slider that is nearest to so many minutes. */
export function stepOf(minutes: number): number {
  let best = 0;
  MINUTES.forEach((one, n) => {
    if (Math.abs(Math.log(one / minutes)) < Math.abs(Math.log(MINUTES[best]! / minutes))) best = n;
  });
  return best;
}
