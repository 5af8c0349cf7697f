// What the page asks of the model, as messages: a text to read, text to write, and what is inside. It computes in
// slices of a few milliseconds, between which it listens: the next message can stop what is going on.
import type {
  Attention, AttentionMaps, Cell, Distribution, Embedding, Lens, Message, Sampling,
} from "../views/types.ts";
import { ChatTokenizer, type Render, roomForAnAnswer } from "./chat.ts";
import { build, GPT, type Model } from "./gpt.ts";
import { embedding, Insight } from "./insight.ts";
import type { PageData } from "./page_data.ts";
import { type Proof, prove } from "./probes.ts";
import { Random } from "./random.ts";
import { adjusted, largest, probabilities } from "./sampling.ts";
import { Sequence } from "./sequence.ts";
import type { Stream } from "./tokenizer/stream.ts";
import { type OpenLibrary, openTokenizer, type Tokenizer, UnknownCharacter } from "./tokenizer/tokenizer.ts";
import { Weights } from "./weights.ts";

export interface WriteRequest {
  sampling: Sampling;
  seed: number | null;
  tokens: number;
  /** Cut the text before that place, and begin with that token. */
  from: { place: number; id: number } | null;
}

/** cells: those from an index on; all before stay. rest: so do those behind them. */
export type Update =
  | { type: "cells"; from: number; cells: Cell[]; rest: boolean }
  | { type: "answer"; text: string };

export interface Written {
  tokens: number;
  seconds: number;
  finished: "length" | "stop" | "cancelled";
  seed: number;
}

const SLICE = 12; // milliseconds
const NEIGHBOURS = 6;
const MAP = 40; // tokens that the thumbnails of attention show
const MOST_POINTS = 400; // of the embedding: the page asks for the tokens that occur
const SHOWN = 10;

export class Runtime {
  private readonly model: Model;
  private readonly tokenizer: Tokenizer;
  private readonly sequence: Sequence;
  private readonly insight: Insight | null;
  private readonly chat: ChatTokenizer | null;
  private hidden = 0; // ids before the text
  private cells: Cell[] = [];
  private stream: Stream; // of the text, and how many ids it has seen
  private streamed = 0;
  private turn = 0; // what goes on stops when it changes
  private looked: { window: number[]; logits: Float32Array } | null = null;

  constructor(
    private readonly data: PageData,
    weights: Uint8Array,
    wasm: WebAssembly.Module | null,
    library: OpenLibrary | undefined,
    render: Render | undefined,
    private readonly update: (update: Update) => void,
  ) {
    this.model = build(data.config, new Weights(weights), wasm);
    this.tokenizer = openTokenizer(data.tokenizer, library);
    this.stream = this.tokenizer.stream();
    this.sequence = new Sequence(this.model, this.tokenizer.size);
    this.insight = this.model instanceof GPT ? new Insight(this.model) : null;
    this.chat = data.chat && new ChatTokenizer(this.tokenizer, data.tokenizer.special, data.chat, render);
  }

  async prove(): Promise<Proof> {
    const { ids } = this.sequence;
    const steps = prove(this.tokenizer, this.data.probes, this.sequence);
    for (let until = now() + SLICE; ; ) {
      const { done, value } = steps.next();
      if (done) {
        this.sequence.replace(ids);
        await this.compute(this.turn);
        return value;
      }
      if (now() > until) {
        await breath();
        until = now() + SLICE;
      }
    }
  }

  /** The text is this one now; its cells come as they are computed. */
  async read(text: string): Promise<{ tokens: number; unknown: string[] }> {
    let ids: number[];
    try {
      ids = this.tokenizer.encode(text);
    } catch (error) {
      if (error instanceof UnknownCharacter) return { tokens: 0, unknown: error.characters };
      throw error;
    }
    const before = this.data.opening.length || ids.length ? this.data.opening : [this.data.first];
    this.hidden = before.length;
    this.sequence.replace([...before, ...ids]);
    this.cells = [];
    this.restart();
    this.addCells(true);
    this.report(0);
    await this.compute(++this.turn);
    return { tokens: ids.length, unknown: [] };
  }

  stop(): void {
    this.turn++;
  }

  /** Writes on from the text, or from another token at a place of it. */
  async write({ sampling, seed, tokens, from }: WriteRequest): Promise<Written> {
    const turn = ++this.turn;
    const { sequence } = this;
    if (from) {
      const ends = this.data.ends.includes(from.id); // chosen, it ends the text there
      sequence.replace([...sequence.ids.slice(0, from.place), ...(ends ? [] : [from.id])]);
      const kept = this.cells.findIndex((cell) => cell.place + cell.tokens > from.place);
      if (kept >= 0) this.cells.length = kept;
      this.restart();
      this.addCells(false);
      this.report(kept < 0 ? this.cells.length : kept);
      if (ends) tokens = 0;
    }
    return this.generate(turn, sampling, seed, tokens, this.data.ends, (first, end) => {
      this.addCells(end);
      this.report(first);
    });
  }

  /** The model's answer to a conversation; the oldest turns are left out where it is too long. */
  async answer(messages: Message[], sampling: Sampling, seed: number | null): Promise<Written> {
    const turn = ++this.turn;
    const length = this.data.config.context_length;
    const room = roomForAnAnswer(length);
    const system = messages[0]?.role === "system" ? 1 : 0;
    let first = 0;
    let ids: number[];
    for (;;) {
      ids = this.conversation([...messages.slice(0, system), ...messages.slice(system + first)]);
      if (ids.length + room - 1 <= length) break;
      if (first + 2 >= messages.length - system) throw new TooLong(ids.length, length, room);
      first += 2;
    }
    this.sequence.replace(ids);
    const stream = this.tokenizer.stream();
    for (const id of ids) stream.push(id);
    let done = ids.length;
    return this.generate(turn, sampling, seed, length - ids.length + 1, this.data.chat!.ends, (_, end) => {
      let text = "";
      for (; done < this.sequence.ids.length; done++) text += stream.push(this.sequence.ids[done]!);
      this.update({ type: "answer", text: end ? text + stream.flush() : text });
    });
  }

  /** The ids of a conversation, up to where the model answers. */
  conversation(messages: Message[]): number[] {
    return this.chat!.encode(messages);
  }

  /** How the token at a place is distributed, and what the settings make of it. The end of the text has a place, too. */
  distribution(place: number | null, sampling: Sampling): Distribution | null {
    const logits = this.logitsAt(place ?? this.sequence.ids.length);
    if (!logits) return null;
    const own = probabilities(logits);
    const known = logits.subarray(0, this.tokenizer.size);
    const weighed = probabilities(adjusted(known, sampling));
    let entropy = 0;
    for (const share of own) if (share > 0) entropy -= share * Math.log2(share);
    return {
      place: place ?? this.sequence.ids.length,
      choices: largest(known, SHOWN).map((id) => ({
        id, token: this.tokenizer.token(id), probability: own[id]!, weighed: weighed[id]!,
      })),
      left: weighed.reduce((count, share) => count + (share > 0 ? 1 : 0), 0),
      entropy,
    };
  }

  attention(place: number): Attention | null {
    return this.insight && this.predicted(place)
      ? this.insight.attention(this.sequence.ids, this.startOf(place), place)
      : null;
  }

  maps(place: number): AttentionMaps | null {
    return this.insight && this.predicted(place)
      ? this.insight.maps(this.sequence.ids, this.startOf(place), place, MAP)
      : null;
  }

  lens(place: number, places: number): Lens | null {
    if (!this.insight || !this.predicted(place)) return null;
    const lens = this.insight.lens(this.sequence.ids, this.startOf(place), place, places, this.tokenizer.size);
    const came = [...Array(lens.places).keys()].map((column) => this.sequence.ids[lens.first + column]);
    return {
      ...lens,
      tokens: Array.from(lens.ids, (id) => this.tokenizer.token(id)),
      came: came.map((id) => (id === undefined ? "" : this.tokenizer.token(id))),
    };
  }

  /** Of all tokens where they are few, else of those that the text has. */
  embedding(): Embedding | null {
    if (!(this.model instanceof GPT)) return null;
    const { size } = this.tokenizer;
    const ids =
      size <= MOST_POINTS
        ? [...Array(size).keys()].filter((id) => this.tokenizer.token(id))
        : [...new Set(this.sequence.ids)].slice(-MOST_POINTS);
    if (ids.length < 3) return null;
    const found = embedding(this.model, ids, NEIGHBOURS);
    const name = (id: number) => this.tokenizer.token(id);
    return { ...found, tokens: ids.map(name), nearest: found.nearest.map((some) => some.map(name)) };
  }

  private logitsAt(place: number): Float32Array | null {
    if (!this.predicted(place)) return null;
    const [{ ids }, start] = [this.sequence, this.startOf(place)];
    if (place === ids.length) return this.sequence.logits;
    const window = ids.slice(start, place);
    const known = this.looked;
    if (known?.window.length === window.length && window.every((id, n) => id === known.window[n])) return known.logits;
    const logits = this.insight
      ? this.insight.logits(ids, start, place)
      : this.model.forward(ids[place - 1]!, 0, null).slice();
    this.looked = { window, logits };
    return logits;
  }

  /** Whether it is known by now what was predicted at a place. */
  private predicted(place: number): boolean {
    return place > 0 && place < this.sequence.predictions.length;
  }

  /** Where the window begins from which the token at a place was predicted. */
  private startOf(place: number): number {
    return this.sequence.predictions[place]!.start;
  }

  private async compute(turn: number): Promise<boolean> {
    let until = now() + SLICE;
    let reported = 0;
    while (this.sequence.step()) {
      if (now() < until) continue;
      reported = this.refresh(reported);
      await breath();
      if (turn !== this.turn) return false;
      until = now() + SLICE;
    }
    this.refresh(reported);
    return true;
  }

  /** Cells whose prediction is known by now; the first that is not. */
  private refresh(from: number): number {
    let at = from;
    for (; at < this.cells.length; at++) {
      const cell = this.cells[at]!;
      if (cell.place + cell.tokens > this.sequence.predictions.length) break;
      this.cells[at] = this.measured(cell);
    }
    if (at > from) this.update({ type: "cells", from, cells: this.cells.slice(from, at), rest: true });
    return at;
  }

  private async generate(
    turn: number, sampling: Sampling, seed: number | null, tokens: number, ends: number[],
    report: (firstCell: number, end: boolean) => void,
  ): Promise<Written> {
    const chosen = seed ?? crypto.getRandomValues(new Uint32Array(1))[0]!;
    const random = new Random(BigInt(chosen));
    const { sequence } = this;
    if (this.cells.at(-1)?.text.endsWith("\ufffd")) this.cells.pop(); // what is written may complete the character
    this.restart();
    sequence.prompted();
    const started = now();
    let until = started + SLICE;
    let [count, reported] = [0, this.cells.length];
    let finished: Written["finished"] = tokens > 0 ? "length" : "stop";
    while (count < tokens) {
      if (!sequence.step()) {
        const id = sequence.choice(sampling, random.draw());
        if (ends.includes(id)) {
          finished = "stop";
          break;
        }
        sequence.append(id);
        count++;
      }
      if (now() < until) continue;
      report(reported, false);
      reported = this.cells.length;
      await breath();
      if (turn !== this.turn) {
        finished = "cancelled";
        break;
      }
      until = now() + SLICE;
    }
    const seconds = (now() - started) / 1000;
    while (sequence.step()); // what would come next, for the views
    report(reported, true);
    return { tokens: count, seconds, finished, seed: chosen };
  }

  /** The place behind the last cell. */
  private cellsEnd(): number {
    const last = this.cells.at(-1);
    return last ? last.place + last.tokens : this.hidden;
  }

  /** The stream of text as it is behind the last cell: it may hold a part of a character. */
  private restart(): void {
    const end = this.cellsEnd();
    this.stream = this.tokenizer.stream();
    for (const id of this.sequence.ids.slice(this.hidden, end)) this.stream.push(id);
    this.streamed = end;
  }

  /** Cells of the ids that the stream has not seen. end: also of a character that is not complete. */
  private addCells(end: boolean): void {
    const { ids } = this.sequence;
    for (; this.streamed < ids.length; this.streamed++) {
      const last = end && this.streamed + 1 === ids.length;
      this.addCell(this.stream.push(ids[this.streamed]!) + (last ? this.stream.flush() : ""), this.streamed + 1);
    }
    if (end && this.cellsEnd() < ids.length) this.addCell(this.stream.flush(), ids.length);
  }

  private addCell(text: string, end: number): void {
    const place = this.cellsEnd();
    if (text) this.cells.push(this.measured({ text, place, tokens: end - place, bits: NaN, rank: -1 }));
  }

  private measured(cell: Cell): Cell {
    const own = this.sequence.predictions.slice(cell.place, cell.place + cell.tokens);
    if (own.length < cell.tokens) return cell;
    const nats = own.reduce((sum, { logprob }) => sum - logprob, 0);
    return { ...cell, bits: nats / Math.LN2, rank: own[0]!.rank };
  }

  /** The cells from an index on are these now. */
  private report(from: number): void {
    this.update({ type: "cells", from, cells: this.cells.slice(from), rest: false });
  }
}

export class TooLong extends Error {
  constructor(tokens: number, length: number, room: number) {
    super(`This has ${tokens} tokens, and the model looks at ${length}, of which ${room} are kept for the answer.`);
  }
}

const now = (): number => performance.now();

/** Lets waiting messages in. */
const breath = (): Promise<void> =>
  new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
