// A text that a model reads and continues: what stands in it, how surprised the model is, what could stand instead.
import { Failure, openAnswer, post, wordsOf, type Schemas } from "./api.ts";
import { floats } from "./numbers.ts";
import { EventParser } from "./sse.ts";
import { Streamed, type Chunk } from "./stream_cells.ts";
import { weighed } from "./weigh.ts";
import type { Cell, Distribution, Sampling } from "../views/types.ts";
import { visible } from "../views/words.ts";

export const USUAL: Sampling = { temperature: 0.8, top_k: null, top_p: null, min_p: null, repetition_penalty: null };

export const cellOf = ({ bits, ...rest }: Schemas["Cell"]): Cell => ({ ...rest, bits: bits ?? NaN });

const SIGNS: Record<string, string> = { "\\n": "\n", "\\t": "\t", "\\r": "\r" };
/** The server names a line end by \\n, as Python writes it; the views have signs of their own for it. */
export const named = (token: string): string => SIGNS[token] ?? token;

export interface Known {
  found: Distribution;
  logits: Float32Array;
}

export class Reading {
  text = $state("");
  cells = $state.raw<Cell[]>([]);
  ids = $state.raw<number[]>([]);
  context = $state<number | null>(null);
  unknown = $state.raw<string[]>([]);
  failure = $state("");
  writing = $state(false);
  reading = $state(false);
  status = $state("");
  speed = $state("");
  undoable = $state(0);
  version = $state(0); // of the ids: what was computed of others does not hold
  private hidden = 0; // ids that the tokenizer puts before a text
  private past: string[] = [];
  private future: string[] = [];
  private lastEdit = 0;
  private serial = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private controller: AbortController | null = null;
  private known = new Map<number, Promise<Known>>();

  /** shared: the text that every page of this model goes on with, and a reload. */
  constructor(readonly run: string, private readonly key: string | null = `homespun text ${run}`) {
    if (key) this.text = localStorage.getItem(key) ?? "";
  }

  get problem(): string {
    if (this.failure) return this.failure;
    if (!this.unknown.length) return "";
    const some = this.unknown.slice(0, 8).map((c) => `“${visible(c)}”`).join(", ");
    const them = this.unknown.length > 1 ? "them" : "it";
    return `The model does not know ${some}: it was trained on a text without ${them}. Take ${them} out to go on.`;
  }

  get end(): number | null {
    const last = this.cells.at(-1);
    return last ? last.place + last.tokens : null;
  }

  private keep(): void {
    if (this.key) localStorage.setItem(this.key, this.text.slice(-100_000));
  }

  /** Has the model read the text. */
  async read(): Promise<void> {
    const own = ++this.serial;
    clearTimeout(this.timer);
    const text = this.text;
    this.reading = true;
    try {
      const found = await post("/api/inside/surprise", { run: this.run, text });
      if (own !== this.serial) return;
      this.take(found);
      this.failure = "";
    } catch (error) {
      if (own === this.serial) this.failure = wordsOf(error);
    }
    if (own === this.serial) this.reading = false;
  }

  private take(found: Schemas["Surprise"]): void {
    this.unknown = found.unknown;
    this.context = found.context_length;
    if (found.unknown.length) return;
    this.cells = found.cells.map(cellOf);
    this.ids = found.ids;
    this.hidden = found.hidden;
    this.known.clear();
    this.version++;
  }

  edit(now: string): void {
    if (Date.now() - this.lastEdit > 800) this.remember();
    this.lastEdit = Date.now();
    this.text = now;
    this.speed = "";
    this.unknown = [];
    this.serial++; // what is on its way is of another text
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.read(), 120);
    this.keep();
  }

  private remember(): void {
    if (this.past.at(-1) !== this.text) this.past.push(this.text);
    this.future = [];
    this.undoable = this.past.length;
  }

  async undo(steps: number): Promise<void> {
    if (this.writing) return;
    const [from, to] = steps > 0 ? [this.past, this.future] : [this.future, this.past];
    const before = from.pop();
    if (before === undefined) return;
    to.push(this.text);
    this.text = before;
    this.undoable = this.past.length;
    this.lastEdit = 0;
    this.keep();
    await this.read();
  }

  /** What could stand at a place: by the model; null where nothing is predicted. */
  async logitsAt(place: number | null): Promise<Known | null> {
    const at = place ?? this.end;
    if (at === null || at < 1 || !this.ids.length || at > this.ids.length) return null;
    let known = this.known.get(at);
    if (!known) {
      known = this.ask(at);
      this.known.set(at, known);
      known.catch(() => this.known.delete(at));
    }
    return known;
  }

  private async ask(place: number): Promise<Known> {
    const found = await post("/api/inside/distribution", {
      run: this.run, ids: this.ids, place, choices: 10, with_logits: true, sampling: USUAL,
    });
    const { logits, choices, ...rest } = found;
    if (!logits) throw new Failure("The studio sent no logits.", 500);
    return { found: { ...rest, choices: choices.map((one) => ({ ...one, token: named(one.token) })) }, logits: floats(logits) };
  }

  async distribution(place: number | null, sampling: Sampling): Promise<Distribution | null> {
    try {
      const known = await this.logitsAt(place);
      return known && weighed(known.found, known.logits, sampling);
    } catch (error) {
      this.failure = wordsOf(error);
      return null;
    }
  }

  /** Lets the model go on from the end, or from a token at a place. Resolves when it has ended. */
  async write(sampling: Sampling, seed: number | null, tokens: number, from: { place: number; id: number } | null = null): Promise<void> {
    if (this.writing) return;
    clearTimeout(this.timer);
    if (this.reading || this.cells.map(({ text }) => text).join("") !== this.text) await this.read();
    if (this.problem) return;
    this.remember();
    this.lastEdit = 0;
    let prompt: number[] = this.ids;
    let kept = this.cells;
    if (from) {
      prompt = [...this.ids.slice(0, from.place), from.id];
      kept = this.cells.filter(({ place, tokens }) => place + tokens <= from.place);
      try {
        // Its text is what the tokenizer makes of the ids: a name of a token is not always its text.
        const text = await textOf(this.run, prompt.slice(this.hidden));
        const known = await this.logitsAt(from.place);
        const chosen = known?.found.choices.find(({ id }) => id === from.id);
        const length = kept.reduce((sum, cell) => sum + cell.text.length, 0);
        kept = [...kept, { text: text.slice(length), place: from.place, tokens: 1, bits: chosen ? -Math.log2(chosen.probability) : NaN, rank: -1 }];
      } catch (error) {
        this.failure = wordsOf(error);
        return;
      }
    }
    const before = kept.map(({ text }) => text).join("");
    const streamed = new Streamed(prompt.length);
    this.writing = true;
    this.status = "writing";
    this.cells = kept;
    this.text = before;
    const begun = performance.now();
    let drawn = 0;
    const draw = () => {
      drawn = 0;
      this.cells = [...kept, ...streamed.cells];
      this.text = before + streamed.text;
    };
    this.controller = new AbortController();
    try {
      const answer = await openAnswer("/v1/completions", {
        model: this.run, prompt: prompt.length ? prompt : "", max_tokens: tokens, stream: true, logprobs: 0, truncation: "auto",
        temperature: sampling.temperature, top_k: sampling.top_k ?? 0, top_p: sampling.top_p ?? 1, min_p: sampling.min_p ?? 0,
        ...(seed === null ? {} : { seed }),
      }, this.controller.signal);
      const drawnSeed = answer.headers.get("x-homespun-seed");
      await chunks<{ choices: Chunk[] }>(answer, ({ choices }) => {
        for (const choice of choices) streamed.take(choice);
        drawn ||= requestAnimationFrame(draw);
      });
      const seconds = Math.max((performance.now() - begun) / 1000, 1e-3);
      this.speed = `wrote ${streamed.tokens.toLocaleString("en")} tokens, ${Math.round(streamed.tokens / seconds).toLocaleString("en")} a second${drawnSeed ? `, seed ${drawnSeed}` : ""}`;
      if (streamed.finish === "stop") this.speed += "; the model ended the text";
    } catch (error) {
      if (!this.controller.signal.aborted) this.failure = wordsOf(error);
    }
    cancelAnimationFrame(drawn);
    draw();
    this.controller = null;
    this.writing = false;
    this.status = `done, ${[...streamed.text].length.toLocaleString("en")} characters`;
    this.keep();
    await this.read();
  }

  stop(): void {
    this.controller?.abort();
  }

  close(): void {
    this.stop();
    clearTimeout(this.timer);
    this.serial++;
  }
}

async function textOf(run: string, tokens: number[]): Promise<string> {
  const answer = await openAnswer("/detokenize", { model: run, tokens });
  return ((await answer.json()) as { prompt: string }).prompt;
}

/** The chunks of an answer that streams, as OpenAI sends them. Raises Failure where one is an error. */
export async function chunks<T>(answer: Response, receive: (chunk: T) => void): Promise<void> {
  const parser = new EventParser();
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    for (const { data } of parser.feed(value)) {
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data) as T & Partial<Schemas["Problem"]>;
      if (chunk.error) throw new Failure(chunk.error.message, 500, chunk.error.code);
      receive(chunk);
    }
  }
}
