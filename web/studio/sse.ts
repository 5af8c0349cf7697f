// Server-sent events by fetch: as EventSource, but it stops while the tab is hidden and says what went wrong.
// https://html.spec.whatwg.org/multipage/server-sent-events.html

export interface ServerEvent {
  id: string; // of the last event that had one: what a reconnection asks from
  event: string;
  data: string;
}

/** Cuts a stream of text, however it is divided, into events. */
export class EventParser {
  private buffer = "";
  private id: string;
  private event = "";
  private data: string[] = [];
  constructor(id = "") {
    this.id = id;
  }

  feed(text: string): ServerEvent[] {
    const found: ServerEvent[] = [];
    this.buffer += text;
    for (;;) {
      const end = /\r\n|\n|\r(?!$)/.exec(this.buffer); // a \r at the very end may be half of \r\n
      if (!end) return found;
      const line = this.buffer.slice(0, end.index);
      this.buffer = this.buffer.slice(end.index + end[0].length);
      if (line === "") {
        if (this.data.length) found.push({ id: this.id, event: this.event || "message", data: this.data.join("\n") });
        this.event = "";
        this.data = [];
        continue;
      }
      const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line)!;
      if (field === "data") this.data.push(value!);
      else if (field === "event") this.event = value!;
      else if (field === "id" && !value!.includes("\0")) this.id = value!;
    }
  }
}

export interface Source {
  /** Opens the stream, from behind the event with this id. */
  open: (lastId: string, signal: AbortSignal) => Promise<Response>;
  /** Returns true when nothing more will come. */
  receive: (event: ServerEvent) => boolean | void;
  /** The connection is lost (true) or there again (false). */
  lost?: (lost: boolean) => void;
  /** An answer that no repetition mends. */
  failed?: (error: unknown) => void;
}

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 8000;

/** Follows a stream until it ends or the returned function is called. Nothing is asked while the tab is hidden. */
export function follow(source: Source, lastId = ""): () => void {
  let ended = false;
  let controller: AbortController | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let pause = FIRST_PAUSE;
  let serial = 0;

  async function connect(): Promise<void> {
    if (ended || controller || document.hidden) return;
    const own = (controller = new AbortController());
    const number = ++serial;
    try {
      const answer = await source.open(lastId, own.signal);
      source.lost?.(false);
      const parser = new EventParser(lastId);
      const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        pause = FIRST_PAUSE;
        for (const event of parser.feed(value)) {
          if (number !== serial || ended) return;
          lastId = event.id;
          if (source.receive(event)) return stop();
        }
      }
    } catch (error) {
      if (ended || number !== serial) return;
      if (isFinal(error)) {
        stop();
        source.failed?.(error);
        return;
      }
      source.lost?.(true);
    }
    if (number !== serial || ended) return;
    controller = null;
    timer = setTimeout(connect, pause);
    pause = Math.min(2 * pause, LONGEST_PAUSE);
  }

  function seen(): void {
    clearTimeout(timer);
    if (document.hidden) {
      serial++;
      controller?.abort();
      controller = null;
    } else connect();
  }

  function stop(): void {
    ended = true;
    clearTimeout(timer);
    controller?.abort();
    document.removeEventListener("visibilitychange", seen);
  }

  document.addEventListener("visibilitychange", seen);
  connect();
  return stop;
}

/** Whether asking again would bring the same: an answer of 4xx, but for "too many". */
const isFinal = (error: unknown): boolean => {
  const status = (error as { status?: number }).status;
  return status !== undefined && status >= 400 && status < 500 && status !== 429 && status !== 408;
};
