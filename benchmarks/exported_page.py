"""Tokens a second of an exported page beside wllama (llama.cpp in WebAssembly): one model, one browser, in turn.

    npm install --prefix web --no-save @wllama/wllama@2.4.0
    python -m benchmarks.exported_page

It needs playwright and an installed Chromium. The result is printed; docs/page.md has it.
"""

from __future__ import annotations

import argparse
import http.server
import json
import re
import shutil
import statistics
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch

import homespun
from benchmarks.pairs import ROOT
from homespun.checkpoint.folder import save_model
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT
from homespun.tokenizer.char import char_tokenizer

SHAPES = {"1.5 M": 144, "10.7 M": 384}  # n_embd of six layers and heads
WRITTEN = 230  # tokens, within one window of 256
WLLAMA = ROOT / "web" / "node_modules" / "@wllama" / "wllama" / "esm"
PAGE_OF_WLLAMA = """<!doctype html><script type=module>
import { Wllama } from "/esm/index.min.js";
const paths = { "single-thread/wllama.wasm": "/esm/single-thread/wllama.wasm" };
window.opened = async (file) => {
  window.model = new Wllama(paths, { suppressNativeLog: true });
  await model.loadModel([await (await fetch(file)).blob()], { n_threads: 1, n_ctx: 256 });
};
window.rate = async (tokens) => {
  const began = performance.now();
  let count = 0;
  const sampling = { temp: 0.8, top_k: 0, top_p: 1, min_p: 0, seed: 1 };
  await model.createCompletion("A", { nPredict: tokens, sampling, onNewToken: () => void count++ });
  return (1000 * count) / (performance.now() - began);
};
window.ready = true;
</script>"""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.exported_page", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    if not WLLAMA.is_dir():
        parser.error("wllama is not there:  npm install --prefix web --no-save @wllama/wllama@2.4.0")
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        made = Path(folder)
        (made / "esm").symlink_to(WLLAMA)
        (made / "wllama.html").write_text(PAGE_OF_WLLAMA)
        address = served(made)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, width in SHAPES.items():
            page, gguf = exports(made, width)
            ours, first = opened(browser, page)
            theirs = browser.new_page()
            theirs.goto(f"{address}/wllama.html")
            theirs.wait_for_function("window.ready")
            theirs.evaluate("file => opened(file)", f"/{gguf.name}")
            rates: dict[str, list[float]] = {"page": [], "wllama": []}
            for _ in range(asked.rounds + 1):
                rates["page"].append(our_rate(ours))
                rates["wllama"].append(theirs.evaluate("tokens => rate(tokens)", WRITTEN))
            report(name, page, first, {side: found[1:] for side, found in rates.items()})  # the first compiles
            ours.close()
            theirs.close()
        browser.close()


def served(folder: Path) -> str:
    """The address of a server of that folder on this computer: wllama does not start from a file."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


def exports(folder: Path, width: int) -> tuple[Path, Path]:
    """A page and a GGUF file of one model, which nobody has trained; both in 8 bits."""
    torch.manual_seed(1)
    tokenizer = char_tokenizer([*map(chr, range(33, 96)), "\n", " "], documents=1)
    # The usual n_inner is a multiple of 32, as the blocks of Q8_0 are.
    shape = {"n_layer": 6, "n_head": 6, "n_embd": width, "context_length": 256}
    model = GPT(GPTConfig.of("llama", vocab_size=tokenizer.vocab_size, **shape)).eval()
    save_model(folder / f"{width}", model, tokenizer)
    page = homespun.export(folder / f"{width}", to="page", out=folder / f"{width}.html", prove=False)
    gguf = homespun.export(
        folder / f"{width}", to="gguf", quantize="q8_0", out=folder / f"{width}.gguf", llama_cpp=False
    )
    return page.out, gguf.out


def opened(browser: Any, page: Path) -> tuple[Any, float]:
    """The page, and the seconds from opening the file to the first character that the model wrote."""
    tab = browser.new_page()
    began = time.perf_counter()
    tab.goto(page.as_uri())
    tab.locator("button.main:enabled").click()
    tab.locator(".mirror span").first.wait_for()
    first = time.perf_counter() - began
    tab.wait_for_selector("[data-proof]")
    tab.get_by_label("tokens").fill(str(WRITTEN))
    return tab, first


def our_rate(tab: Any) -> float:
    """Tokens a second that the page itself shows, from the request to the last token."""
    tab.fill("textarea", "A")
    tab.locator(".numbers", has_text="wrote").wait_for(state="detached")
    tab.get_by_role("button", name="Continue").click()
    shown = tab.locator(".numbers", has_text="a second").inner_text()
    return float(re.search(r"([\d,]+) a second", shown)[1].replace(",", ""))  # type: ignore[index]


def report(name: str, page: Path, first: float, rates: dict[str, list[float]]) -> None:
    ratios = [ours / theirs for ours, theirs in zip(rates["page"], rates["wllama"], strict=True)]
    found = {side: round(statistics.median(values)) for side, values in rates.items()}
    print(f"{name}: {page.stat().st_size / 1e6:.1f} MB, first character after {first:.2f} s")
    print(
        f"  tokens a second, median of {len(ratios)}: {json.dumps(found)}; times {statistics.median(ratios):.1f}"
    )
    print(f"  from {min(ratios):.1f} to {max(ratios):.1f} times", flush=True)


if __name__ == "__main__":
    main()
