// An answer of a model with a chat template, as it is written, with how surprising each piece of it was.
import { openAnswer, request } from "./api.ts";
import { chunks } from "./reading.svelte.ts";
import type { Cell, Message, Sampling } from "../views/types.ts";

/** Whether a model was taught to answer: it has a chat template then. Opens the model. */
export async function canChat(run: string): Promise<boolean> {
  const answer = await request(`/tokenizer_info?${new URLSearchParams({ model: run })}`);
  return ((await answer.json()) as { chat_template: string | null }).chat_template !== null;
}

export interface Said extends Message {
  cells?: Cell[];
}

interface ChatToken {
  logprob: number;
  bytes: number[];
}
interface ChatChunk {
  choices: { delta: { content?: string }; logprobs: { content: ChatToken[] } | null; finish_reason: string | null }[];
}

/** Tokens as pieces of whole characters: those that are part of one character stand together. */
export class ChatCells {
  cells: Cell[] = [];
  private decoder = new TextDecoder();
  private bits = 0;
  private tokens = 0;
  private count = 0;

  take(content: readonly ChatToken[]): void {
    for (const { logprob, bytes } of content) {
      this.bits -= logprob / Math.LN2;
      this.tokens++;
      const text = this.decoder.decode(new Uint8Array(bytes), { stream: true });
      if (!text) continue;
      this.cells.push({ text, place: this.count, tokens: this.tokens, bits: this.bits, rank: -1 });
      this.count += this.tokens;
      this.bits = this.tokens = 0;
    }
  }
}

export interface Asking {
  run: string;
  messages: readonly Message[];
  sampling: Sampling;
  seed: number | null;
  signal: AbortSignal;
  show: (text: string, cells: Cell[]) => void;
}

/** Resolves to the answer. Raises Failure. */
export async function answer({ run, messages, sampling, seed, signal, show }: Asking): Promise<Said> {
  const found = new ChatCells();
  let text = "";
  let drawn = 0;
  const draw = () => {
    drawn = 0;
    show(text, found.cells);
  };
  const stream = await openAnswer("/v1/chat/completions", {
    model: run, messages: messages.map(({ role, content }) => ({ role, content })), stream: true, logprobs: true, truncation: "auto",
    temperature: sampling.temperature, top_k: sampling.top_k ?? 0, top_p: sampling.top_p ?? 1, min_p: sampling.min_p ?? 0,
    max_tokens: 1000, ...(seed === null ? {} : { seed }),
  }, signal);
  try {
    await chunks<ChatChunk>(stream, ({ choices }) => {
      for (const { delta, logprobs } of choices) {
        text += delta.content ?? "";
        if (logprobs) found.take(logprobs.content);
      }
      drawn ||= requestAnimationFrame(draw);
    });
  } catch (error) {
    if (!signal.aborted) throw error; // who stops an answer keeps what there is of it
  } finally {
    cancelAnimationFrame(drawn);
  }
  // What ends the turn is a token, too, and no text of the answer.
  const shown: Cell[] = [];
  let length = 0;
  for (const cell of found.cells) {
    if (length + cell.text.length > text.length) break;
    shown.push(cell);
    length += cell.text.length;
  }
  return { role: "assistant", content: text, cells: shown };
}
