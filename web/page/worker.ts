// The worker: takes messages, calls the runtime, sends back what came of it. Where a browser starts no worker from a
// file, the page runs the same in its own thread.
import kernel from "virtual:kernel";
import type { Render } from "./chat.ts";
import { bytesOf } from "./base64.ts";
import type { PageData } from "./page_data.ts";
import { Runtime, type Update } from "./runtime.ts";
import type { OpenLibrary } from "./tokenizer/tokenizer.ts";

type Method =
  | "prove" | "read" | "stop" | "write" | "answer" | "conversation"
  | "distribution" | "attention" | "maps" | "lens" | "embedding";
export type Request =
  | { id: number; method: "start"; data: PageData; weights: Uint8Array; plain?: boolean }
  | { id: number; method: Method; values: unknown[] };
export type Reply = { id: number; value: unknown } | { id: number; error: string } | { id: null; update: Update };
export type Serve = (post: (reply: Reply) => void) => (request: Request) => Promise<void>;

interface Scope {
  homespunLibrary?: OpenLibrary; // library.ts and jinja.ts, where the page has them
  homespunRender?: Render;
  homespunServe?: Serve;
}
const scope = globalThis as typeof globalThis & Scope;

const serve: Serve = (post) => {
  let runtime: Runtime | null = null;
  let proof: Promise<unknown> = Promise.resolve(); // it has the model for itself
  return async (request) => {
    try {
      let value: unknown;
      if (request.method === "start") {
        const wasm = request.plain ? null : await compiled();
        const update = (update: Update) => post({ id: null, update });
        runtime = new Runtime(
          request.data, request.weights, wasm, scope.homespunLibrary, scope.homespunRender, update,
        );
      } else {
        if (request.method !== "stop") await proof;
        const method = runtime![request.method] as (...values: unknown[]) => unknown;
        const answer = method.apply(runtime, request.values);
        if (request.method === "prove") proof = Promise.resolve(answer).catch(() => {});
        value = await answer;
      }
      post({ id: request.id, value });
    } catch (error) {
      post({ id: request.id, error: error instanceof Error ? error.message : String(error) });
    }
  };
};

/** The kernel; null where the browser has no WebAssembly with SIMD. */
async function compiled(): Promise<WebAssembly.Module | null> {
  try {
    return await WebAssembly.compile(bytesOf(kernel) as Uint8Array<ArrayBuffer>);
  } catch {
    return null;
  }
}

scope.homespunServe = serve;
if (typeof document === "undefined") {
  const answer = serve((reply) => postMessage(reply));
  onmessage = ({ data }: MessageEvent<Request>) => answer(data);
}
