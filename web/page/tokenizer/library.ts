// Every other tokenizer.json, by @huggingface/tokenizers. It stands only in pages whose tokenizer needs it.
import { Tokenizer as Backend } from "@huggingface/tokenizers";
import { PieceStream, type Stream, WindowStream } from "./stream.ts";
import { type LibraryData, type OpenLibrary, type Tokenizer, withSpecial } from "./tokenizer.ts";

class Library implements Tokenizer {
  readonly size: number;
  private readonly names: string[];
  private readonly backend: Backend;

  constructor(
    private readonly data: LibraryData,
    special: Record<string, number>,
  ) {
    this.backend = new Backend(data.json, {});
    this.names = withSpecial(data.tokens, special);
    this.size = this.names.length;
  }

  encode(text: string): number[] {
    return text ? Array.from(this.backend.encode(text, { add_special_tokens: false }).ids) : [];
  }

  stream(): Stream {
    const { pieces } = this.data;
    if (pieces) return new PieceStream((id) => this.names[id] ?? "", pieces.byteFallback, pieces.strip);
    return new WindowStream((ids) => (ids.length ? this.backend.decode(ids, { skip_special_tokens: false }) : ""));
  }

  token(id: number): string {
    return (this.names[id] ?? "").replaceAll("▁", " ");
  }
}

export const openLibrary: OpenLibrary = (data, special) => new Library(data, special);
