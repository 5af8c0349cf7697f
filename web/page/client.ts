// The page's side of the worker: questions as functions that return promises.
import type { PageData } from "./page_data.ts";
import type { Update } from "./runtime.ts";
import type { Reply, Request, Serve } from "./worker.ts";

type Waiting = { resolve: (value: never) => void; reject: (error: Error) => void };

export class Client {
  private readonly waiting = new Map<number, Waiting>();
  private send: (request: Request) => void = () => {};
  private next = 0;

  constructor(private readonly onupdate: (update: Update) => void) {}

  /** sources: the worker's, and the parts that it needs. Blobs of classic workers start from a file; where one does
   *  not, the same sources run in the page, in slices. */
  async start(sources: string[], data: PageData, weights: Uint8Array): Promise<void> {
    try {
      const url = URL.createObjectURL(new Blob(sources, { type: "text/javascript" }));
      const worker = new Worker(url);
      await new Promise<void>((resolve, reject) => {
        worker.onerror = (event) => reject(new Error(event.message));
        worker.onmessage = () => resolve();
        worker.postMessage({ id: -1, method: "stop", values: [] }); // any answer says that it is there
      });
      worker.onerror = null;
      worker.onmessage = ({ data }: MessageEvent<Reply>) => this.receive(data);
      this.send = (request) =>
        worker.postMessage(request, request.method === "start" ? [request.weights.buffer] : []);
    } catch {
      for (const source of sources) {
        const script = document.createElement("script");
        script.textContent = source; // its hash stands in the page's security policy
        document.head.append(script);
      }
      const serve = (globalThis as typeof globalThis & { homespunServe: Serve }).homespunServe;
      const answer = serve((reply) => this.receive(reply));
      this.send = (request) => void answer(request);
    }
    return this.request<void>((id) => ({ id, method: "start", data, weights }));
  }

  ask<T>(method: Exclude<Request["method"], "start">, ...values: unknown[]): Promise<T> {
    return this.request<T>((id) => ({ id, method, values }));
  }

  private request<T>(make: (id: number) => Request): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const id = this.next++;
      this.waiting.set(id, { resolve, reject });
      this.send(make(id));
    });
  }

  private receive(reply: Reply): void {
    if (reply.id === null) return this.onupdate(reply.update);
    const { resolve, reject } = this.waiting.get(reply.id)!;
    this.waiting.delete(reply.id);
    if ("error" in reply) reject(new Error(reply.error));
    else resolve(reply.value as never);
  }
}
