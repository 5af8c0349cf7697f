// The page: it shows itself as soon as its code is unpacked, and starts the model when the weights are there.
import { mount } from "svelte";
import App from "./App.svelte";
import { bytesOf } from "./base64.ts";
import type { PageData } from "./page_data.ts";
import "./style.css";

const data: PageData = JSON.parse(document.getElementById("data")!.textContent!);
const target = document.getElementById("app")!;
target.textContent = "";
const app = mount(App, { target, props: { data } });

/** Called when all of the file is read. sources: of the worker. */
function start(sources: string[]): void {
  const element = document.getElementById("weights")!;
  const weights = bytesOf(element.textContent!.trim());
  element.remove(); // the text takes a third more than the weights
  app.start(sources, weights);
}

(globalThis as { homespun?: typeof start }).homespun = start;
