// Pieces of a text as it is written: from the chunks of /v1/completions, whose offsets count characters (code points).
import type { Cell } from "../views/types.ts";

export interface Chunk {
  text: string;
  logprobs: { token_logprobs: (number | null)[]; text_offset: number[] } | null;
  finish_reason: string | null;
}

export class Streamed {
  private characters = 0; // that came before
  text = "";
  tokens = 0;
  cells: Cell[] = [];
  finish: string | null = null;
  /** place: of the first token that is written. */
  constructor(private readonly place: number) {}

  take({ text, logprobs, finish_reason }: Chunk): void {
    if (finish_reason) this.finish = finish_reason;
    const characters = [...text];
    const offsets = logprobs?.text_offset ?? [];
    let n = 0;
    while (n < offsets.length) {
      // Tokens that begin at one place are parts of one character.
      let next = n + 1;
      while (next < offsets.length && offsets[next] === offsets[n]) next++;
      const begin = n === 0 ? 0 : Math.max(0, offsets[n]! - this.characters);
      const end = next < offsets.length ? Math.max(0, offsets[next]! - this.characters) : characters.length;
      const own = logprobs!.token_logprobs.slice(n, next);
      const bits = own.reduce<number>((sum, one) => sum - (one ?? NaN) / Math.LN2, 0);
      this.cells.push({ text: characters.slice(begin, end).join(""), place: this.place + this.tokens, tokens: next - n, bits, rank: -1 });
      this.tokens += next - n;
      n = next;
    }
    if (!offsets.length && text) {
      const last = this.cells.at(-1);
      if (last) this.cells[this.cells.length - 1] = { ...last, text: last.text + text };
      else this.cells.push({ text, place: this.place, tokens: 0, bits: NaN, rank: -1 });
    }
    this.text += text;
    this.characters += characters.length;
  }
}
