// Builds what `homespun export --to page` puts into a page: node build.mjs [FOLDER].
// Without a folder, into the package. The names have no hashes, and the same sources give the same bytes (a test).
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { build } from "vite";
import wabt from "wabt";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const out = process.argv[2] ?? here("../homespun/interop/page/built");

const kernel = {
  name: "kernel",
  resolveId: (id) => (id === "virtual:kernel" ? `\0${id}` : null),
  async load(id) {
    if (id !== "\0virtual:kernel") return null;
    const { parseWat } = await wabt();
    const wasm = parseWat("kernel.wat", readFileSync(here("page/kernel.wat"), "utf8"), { simd: true });
    return `export default ${JSON.stringify(Buffer.from(wasm.toBinary({}).buffer).toString("base64"))}`;
  },
};

const parts = {
  "boot.js": "page/boot.ts", // unpacks the others
  "page.js": "page/main.ts", // the views
  "worker.js": "page/worker.ts", // the model
  "tokenizers.js": "page/library_part.ts", // tokenizers of other kinds
  "jinja.js": "page/jinja_part.ts", // chat templates
  "check.mjs": "page/check.ts", // the proof, in Node
};

rmSync(out, { recursive: true, force: true });
for (const [name, entry] of Object.entries(parts)) {
  const module = name.endsWith(".mjs");
  await build({
    root: here("."),
    configFile: false,
    logLevel: "warn",
    plugins: [svelte({ compilerOptions: { css: "external" } }), kernel],
    build: {
      outDir: out,
      emptyOutDir: false,
      target: "es2022",
      minify: "oxc",
      reportCompressedSize: false,
      cssCodeSplit: false,
      rolldownOptions: {
        input: here(entry),
        external: [/^node:/],
        output: { format: module ? "es" : "iife", entryFileNames: name, assetFileNames: "page[extname]" },
      },
    },
  });
  // In a page nothing may end the script before its end.
  const file = `${out}/${name}`;
  writeFileSync(file, readFileSync(file, "utf8").replace(/<\/(script)/gi, "<\\/$1").replaceAll("<!--", "<\\!--"));
}
