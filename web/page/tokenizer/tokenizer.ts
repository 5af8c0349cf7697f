// Text <-> ids. What Python writes into the page says of which kind the tokenizer is; text never makes a special token.
import { BytePair, type BytePairData } from "./bpe.ts";
import { ByteStream, CharacterStream, type Stream } from "./stream.ts";

export interface Tokenizer {
  readonly size: number; // ids are 0 … size - 1
  /** Throws UnknownCharacter. */
  encode(text: string): number[];
  /** A new stream: push ids one at a time, get text in whole characters. */
  stream(): Stream;
  /** One id as it is written, for lists: also a part of a character. */
  token(id: number): string;
}

interface Common {
  special: Record<string, number>; // tokens that never come from text
}
export type TokenizerData = Common &
  (
    | { kind: "char"; alphabet: string[] }
    | { kind: "byte" }
    | ({ kind: "bpe" } & BytePairData)
    | ({ kind: "library" } & LibraryData)
  );

/** A tokenizer.json that @huggingface/tokenizers reads; library.ts stands in pages that need it only. */
export interface LibraryData {
  json: object;
  tokens: string[];
  pieces: { byteFallback: boolean; strip: boolean } | null;
}

export class UnknownCharacter extends Error {
  constructor(readonly characters: string[]) {
    super(`the model does not know ${characters.join(" ")}`);
  }
}

export type OpenLibrary = (data: LibraryData, special: Record<string, number>) => Tokenizer;

export function openTokenizer(data: TokenizerData, library: OpenLibrary | undefined): Tokenizer {
  switch (data.kind) {
    case "char":
      return new Characters(data.alphabet, data.special);
    case "byte":
      return new Bytes(data.special);
    case "bpe":
      return new BytePair(data, data.special);
    case "library":
      if (!library) throw new Error("the page lacks the part that reads its tokenizer");
      return library(data, data.special);
  }
}

/** The lecture's tokenizer: every character is a token; the ids are the sorted alphabet, from 0. */
class Characters implements Tokenizer {
  readonly size: number;
  private readonly ids: Map<string, number>;
  private readonly names: string[];

  constructor(alphabet: string[], special: Record<string, number>) {
    this.ids = new Map(alphabet.map((character, id) => [character, id]));
    this.names = withSpecial(alphabet, special);
    this.size = this.names.length;
  }

  encode(text: string): number[] {
    const unknown = new Set<string>();
    const ids = Array.from(text, (character) => {
      const id = this.ids.get(character);
      if (id === undefined) unknown.add(character);
      return id ?? 0;
    });
    if (unknown.size) throw new UnknownCharacter([...unknown]);
    return ids;
  }

  stream(): Stream {
    return new CharacterStream((id) => this.token(id));
  }

  token(id: number): string {
    return this.names[id] ?? "";
  }
}

/** Ids 0 to 255 are the bytes of UTF-8; special tokens follow. */
class Bytes implements Tokenizer {
  readonly size: number;
  private readonly names: string[];

  constructor(special: Record<string, number>) {
    this.names = withSpecial(Array(256).fill(""), special);
    this.size = this.names.length;
  }

  encode(text: string): number[] {
    return Array.from(new TextEncoder().encode(text));
  }

  stream(): Stream {
    return new ByteStream((id) => (id < 256 ? Uint8Array.of(id) : new TextEncoder().encode(this.names[id])));
  }

  token(id: number): string {
    return id < 256 ? readable(Uint8Array.of(id)) : (this.names[id] ?? "");
  }
}

export function withSpecial(names: string[], special: Record<string, number>): string[] {
  const all = names.slice();
  for (const [token, id] of Object.entries(special)) all[id] = token;
  return Array.from(all, (name) => name ?? "");
}

/** Bytes as text; those that are no character as \xc3. */
export function readable(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return Array.from(bytes, (byte) => (byte < 128 ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`)).join("");
  }
}
