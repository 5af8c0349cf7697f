// Builds the page of `homespun studio`: node build_studio.mjs [FOLDER]. Without a folder, into the package.
// The first load is index.html, studio.js, core.js and studio.css; a page's own code comes when it is opened.
// The names have no hashes, and the same sources give the same bytes (a test).
import { copyFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { build } from "vite";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const out = process.argv[2] ?? here("../homespun/studio/static");

rmSync(out, { recursive: true, force: true });
await build({
  root: here("."),
  configFile: false,
  logLevel: "warn",
  base: "./",
  plugins: [svelte({ compilerOptions: { css: "external" } })],
  build: {
    outDir: out,
    emptyOutDir: false,
    target: "es2022",
    minify: "oxc",
    reportCompressedSize: false,
    cssCodeSplit: false,
    modulePreload: false,
    rolldownOptions: {
      input: { studio: here("studio/main.ts") },
      output: {
        entryFileNames: "[name].js",
        chunkFileNames: "[name].js",
        // What several pages share, in few files: the first is what every page needs.
        codeSplitting: {
          groups: [
            { name: "core", test: /node_modules\/svelte|views\/(Numbers|words)|studio\/(api|folder|address|route|sse|words|state|compare|watched|run_log|ring)[.]|parts\/(Problem|State)[.]/ },
            { name: "curve", test: /uplot|parts\/(Curve|PlanTable)|studio\/curve[.]/ },
            { name: "text", test: /parts\/(ChooseText|TextReport)|studio\/(text|job)[.]/ },
            { name: "measured", test: /views\/(Heads|Neurons|Parameters|Copied|Course|kinds|inside)|parts\/(Looks|Look[A-Z])/ },
            { name: "manuscript", test: /parts\/(Paper|NextToken|Shaded)|views\/|page\/sampling|studio\/(reading|weigh|settings|stream_cells|numbers|talk)[.]/ },
          ],
        },
        assetFileNames: "studio[extname]",
      },
    },
  },
});
for (const name of ["index.html", "icon.svg"]) copyFileSync(here(`studio/${name}`), `${out}/${name}`);
