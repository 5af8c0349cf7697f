// Ids to text, one at a time, in whole characters (homespun/tokenizer/stream.py).

export interface Stream {
  /** The text that this id completes; "" while a character is incomplete. */
  push(id: number): string;
  /** What is left at the end: an incomplete character becomes U+FFFD. */
  flush(): string;
}

/** For tokenizers in which every id is a text of its own. */
export class CharacterStream implements Stream {
  constructor(private readonly textOf: (id: number) => string) {}

  push(id: number): string {
    return this.textOf(id);
  }

  flush(): string {
    return "";
  }
}

/** For tokenizers whose ids are bytes: a character may take several ids. */
export class ByteStream implements Stream {
  private decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  constructor(private readonly bytesOf: (id: number) => Uint8Array) {}

  push(id: number): string {
    return this.decoder.decode(this.bytesOf(id), { stream: true });
  }

  flush(): string {
    return this.decoder.decode();
  }
}

/** For SentencePiece: ▁ is a space, the first space of the text is dropped, and <0xE2> is a byte. A run of bytes is
 *  text if all of it is UTF-8, and otherwise one U+FFFD for each byte. */
export class PieceStream implements Stream {
  private run: number[] = [];
  private atStart: boolean;

  constructor(
    private readonly tokenOf: (id: number) => string,
    private readonly byteFallback: boolean,
    private readonly strip: boolean,
  ) {
    this.atStart = strip;
  }

  push(id: number): string {
    const token = this.tokenOf(id).replaceAll("▁", " ");
    const byte = this.byteFallback ? /^<0x([0-9A-Fa-f]{2})>$/.exec(token) : null;
    if (byte) {
      this.run.push(parseInt(byte[1]!, 16));
      return "";
    }
    return this.withoutFirstSpace(this.endRun() + token);
  }

  flush(): string {
    const text = this.withoutFirstSpace(this.endRun());
    this.atStart = this.strip;
    return text;
  }

  private endRun(): string {
    const run = Uint8Array.from(this.run);
    this.run = [];
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(run);
    } catch {
      return "\ufffd".repeat(run.length);
    }
  }

  private withoutFirstSpace(text: string): string {
    if (!text || !this.atStart) return text;
    this.atStart = false;
    return text.startsWith(" ") ? text.slice(1) : text;
  }
}

const LONGEST_WAIT = 8; // ids

/** For any other decoder: the last few ids are decoded again and compared. */
export class WindowStream implements Stream {
  private known: number[] = [];
  private pending: number[] = [];

  constructor(private readonly decode: (ids: number[]) => string) {}

  push(id: number): string {
    this.pending.push(id);
    const text = this.text();
    if (text.endsWith("\ufffd") && this.pending.length < LONGEST_WAIT) return "";
    [this.known, this.pending] = [this.pending, []];
    return text;
  }

  flush(): string {
    const text = this.pending.length ? this.text() : "";
    [this.known, this.pending] = [[], []];
    return text;
  }

  private text(): string {
    return this.decode([...this.known, ...this.pending]).slice(this.decode(this.known).length);
  }
}
