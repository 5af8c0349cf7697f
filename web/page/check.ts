// The proof of a written page, without a browser: `node check.mjs PAGE.html` prints it as JSON. It runs what is in the
// page: its worker, its weights, its probes. `[["read", ["text"]], ["cells", []], …]` asks for more, --plain without SIMD.
import { readFileSync } from "node:fs";
import { runInThisContext } from "node:vm";
import { inflateRawSync } from "node:zlib";
import type { Cell } from "../views/types.ts";
import { bytesOf } from "./base64.ts";
import { updated } from "./cells.ts";
import type { Reply, Request, Serve } from "./worker.ts";

const html = readFileSync(process.argv[2]!, "utf8");

/** The text of the page's script of that id, "" where it has none. */
function part(id: string): string {
  const start = html.indexOf(`<script id="${id}"`);
  if (start < 0) return "";
  const from = html.indexOf(">", start) + 1;
  return html.slice(from, html.indexOf("</script>", from)).trim();
}

const scope = globalThis as unknown as { document?: unknown; homespunServe?: Serve };
scope.document = null; // as in the page's own thread: no messages
for (const id of ["tokenizers", "jinja", "worker"]) {
  const packed = part(id);
  if (packed) runInThisContext(inflateRawSync(bytesOf(packed)).toString());
}

let waiting: (reply: Reply) => void = () => {};
let cells: Cell[] = []; // as a page has them
const send = scope.homespunServe!((reply) => {
  if (reply.id !== null) return waiting(reply);
  if (reply.update.type === "cells") cells = updated(cells, reply.update);
});
const ask = (request: Request): Promise<unknown> =>
  new Promise((resolve, reject) => {
    waiting = (reply) => ("error" in reply ? reject(new Error(reply.error)) : resolve("value" in reply && reply.value));
    void send(request);
  });

const plain = process.argv.includes("--plain");
const data = JSON.parse(part("data"));
const requests: [string, unknown[]][] = JSON.parse(process.argv.find((one) => one.startsWith("["))?.trim() ?? "[]");
await ask({ id: 0, method: "start", data, weights: bytesOf(part("weights")), plain });
const answers = [await ask({ id: 1, method: "prove", values: [] })];
for (const [method, values] of requests) {
  answers.push(method === "cells" ? cells : await ask({ id: 2, method, values } as Request));
}
const floats = (_: string, value: unknown) => (ArrayBuffer.isView(value) ? Array.from(value as Float32Array) : value);
console.log(JSON.stringify(answers, floats));
