// Byte-pair encoding on bytes, as of GPT-2, Llama 3, Qwen and homespun's own: a text is split into words, each word
// into bytes, and of all neighbours that are a merge the earliest merge is joined first, until none is left.
import { ByteStream, type Stream } from "./stream.ts";
import { readable, type Tokenizer, withSpecial } from "./tokenizer.ts";

export interface BytePairData {
  vocab: string[]; // by id, in GPT-2's characters for bytes; "" where a special token stands
  merges: [number, number, number][]; // left, right, joined: ids, the earliest first
  splits: string[]; // regular expressions: a text is split into matches and the rest, by one after the other
  nfc: boolean;
}

const MOST_WORDS = 20_000; // that are remembered

export class BytePair implements Tokenizer {
  readonly size: number;
  private readonly names: string[];
  private readonly bytes: Uint8Array[];
  private readonly ofByte: number[]; // byte -> id
  private readonly joined = new Map<number, { rank: number; id: number }>();
  private readonly words = new Map<string, number[]>();
  private readonly splits: RegExp[];

  constructor(
    private readonly data: BytePairData,
    special: Record<string, number>,
  ) {
    this.names = withSpecial(data.vocab, special);
    this.size = this.names.length;
    const byteOf = new Map(byteCharacters().map((character, byte) => [character, byte]));
    this.bytes = this.names.map((name) => tokenBytes(name, byteOf));
    const ids = new Map(data.vocab.map((name, id) => [name, id]));
    this.ofByte = byteCharacters().map((character) => ids.get(character)!);
    data.merges.forEach(([left, right, id], rank) => {
      if (!this.joined.has(this.pair(left, right))) this.joined.set(this.pair(left, right), { rank, id });
    });
    this.splits = data.splits.map((expression) => new RegExp(expression, "gu"));
  }

  encode(text: string): number[] {
    let words = [this.data.nfc ? text.normalize("NFC") : text];
    for (const split of this.splits) words = words.flatMap((word) => isolated(word, split));
    return words.flatMap((word) => this.word(word));
  }

  stream(): Stream {
    return new ByteStream((id) => this.bytes[id] ?? new Uint8Array());
  }

  token(id: number): string {
    return readable(this.bytes[id] ?? new Uint8Array());
  }

  private pair(left: number, right: number): number {
    return left * this.size + right;
  }

  private word(word: string): number[] {
    const known = this.words.get(word);
    if (known) return known;
    const ids = Array.from(new TextEncoder().encode(word), (byte) => this.ofByte[byte]!);
    for (;;) {
      let [best, at, id] = [Infinity, -1, -1];
      for (let i = 0; i + 1 < ids.length; i++) {
        const merge = this.joined.get(this.pair(ids[i]!, ids[i + 1]!));
        if (merge && merge.rank < best) [best, at, id] = [merge.rank, i, merge.id];
      }
      if (at < 0) break;
      ids.splice(at, 2, id);
    }
    if (this.words.size < MOST_WORDS) this.words.set(word, ids);
    return ids;
  }
}

/** The matches of an expression and what stands between them, in order. */
export function isolated(text: string, expression: RegExp): string[] {
  const parts: string[] = [];
  let end = 0;
  for (const match of text.matchAll(expression)) {
    if (match.index > end) parts.push(text.slice(end, match.index));
    if (match[0]) parts.push(match[0]);
    end = match.index + match[0].length;
  }
  if (end < text.length) parts.push(text.slice(end));
  return parts;
}

/** GPT-2's character for each byte: itself where it is printable in Latin-1, else the next free one from U+0100 on. */
export function byteCharacters(): string[] {
  let other = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte > 32 && byte < 127) || (byte > 160 && byte < 256 && byte !== 173);
    return String.fromCharCode(printable ? byte : other++);
  });
}

function tokenBytes(token: string, byteOf: Map<string, number>): Uint8Array {
  const bytes = Array.from(token, (character) => byteOf.get(character));
  return bytes.includes(undefined) ? new TextEncoder().encode(token) : Uint8Array.from(bytes as number[]);
}
