// A conversation as the model's chat template writes it, in ids (homespun/tokenizer/chat_template.py).
import type { Message } from "../views/types.ts";
import type { ChatData, Form } from "./page_data.ts";
import type { Tokenizer } from "./tokenizer/tokenizer.ts";

/** Renders a Jinja template; jinja.ts stands in pages that need it only. */
export type Render = (template: string, values: Record<string, unknown>) => string;

// A noncharacter between the characters of what was said that looks like a special token: it stays text.
const APART = "\ufdd0";

export class ChatTokenizer {
  private readonly special: RegExp | null;

  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly specialTokens: Record<string, number>,
    private readonly chat: ChatData,
    private readonly render: Render | undefined,
  ) {
    const names = Object.keys(specialTokens).filter(Boolean).sort((a, b) => b.length - a.length);
    this.special = names.length ? new RegExp(names.map(escaped).join("|"), "g") : null;
  }

  /** The ids of a conversation, up to where the model answers. */
  encode(messages: Message[]): number[] {
    const text = this.written(messages.map(({ role, content }) => ({ role, content: this.keptApart(content) })));
    const parts = text.split(APART);
    return parts.flatMap((part) =>
      Array.from(part).length === 1 && parts.length > 1 ? this.tokenizer.encode(part) : this.withSpecial(part),
    );
  }

  private written(messages: Message[]): string {
    const { form, template, names } = this.chat;
    if (form) return byForm(form, messages);
    if (!this.render || template === null) throw new Error("the page lacks the part that renders its chat template");
    return this.render(template, { messages, add_generation_prompt: true, tools: null, documents: null, ...names });
  }

  private keptApart(text: string): string {
    const plain = text.replace(/[\ufdd0-\ufdd2]/g, "");
    return this.special ? plain.replace(this.special, (token) => APART + Array.from(token).join(APART) + APART) : plain;
  }

  private withSpecial(text: string): number[] {
    if (!this.special) return this.tokenizer.encode(text);
    const ids: number[] = [];
    let end = 0;
    for (const match of text.matchAll(this.special)) {
      ids.push(...this.tokenizer.encode(text.slice(end, match.index)), this.specialTokens[match[0]]!);
      end = match.index + match[0].length;
    }
    return [...ids, ...this.tokenizer.encode(text.slice(end))];
  }
}

function byForm(form: Form, messages: Message[]): string {
  const unasked = messages[0]?.role === "system" ? "" : form.unasked;
  const turns = messages.map(({ role, content }) => form.before[role]! + content + form.behind[role]!);
  return [form.head, unasked, ...turns, form.answer].join("");
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");

/** Tokens that are kept for an answer: a quarter of what the model looks at, or half of it where that is little. */
export const roomForAnAnswer = (length: number): number =>
  Math.max(Math.floor(length / 4), Math.min(Math.floor(length / 2), 96), 1);
