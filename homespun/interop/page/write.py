"""The page itself: one HTML file with the built code, the contents and the weights, closed by a security policy.

The policy is in the file and the browser enforces it: no request of any kind leaves the page, and only scripts run
whose hashes it names.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import zlib
from pathlib import Path
from typing import Any

from homespun.errors import CheckpointError

BUILT = Path(__file__).parent / "built"
CHECK = BUILT / "check.mjs"
# What a browser still opens at once, and a mail still takes is far less.
MOST_BYTES = 100_000_000

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="homespun {version}">
<title>{title}</title>
<style>{css}</style>
</head>
<body>
<main id="app"><noscript>This page computes in the browser: it needs JavaScript.</noscript></main>
<script id="data" type="application/json">{data}</script>
{parts}<script>{boot}</script>
<script id="weights" type="text/plain">{weights}</script>
</body>
</html>
"""
PART = '<script id="{id}" type="text/plain">{packed}</script>\n'


def page_of(data: dict[str, Any], weights: bytes) -> str:
    """The HTML of a page. data: `contents`; weights: `packed`."""
    parts = {"page": built("page.js"), "worker": built("worker.js")}
    if data["tokenizer"]["kind"] == "library":
        parts["tokenizers"] = built("tokenizers.js")
    if data["chat"] and data["chat"]["form"] is None:
        parts["jinja"] = built("jinja.js")
    boot = built("boot.js")
    return PAGE.format(
        # A browser that starts no worker runs all parts in the page: each has its hash.
        policy=policy([boot, *parts.values()]),
        version=html.escape(data["card"]["version"]),
        title=html.escape(data["card"]["name"]),
        css=built("page.css"),
        data=in_script(data),
        parts="".join(PART.format(id=id, packed=deflated(source)) for id, source in parts.items()),
        boot=boot,
        weights=base64.b64encode(weights).decode("ascii"),
    )


def deflated(source: str) -> str:
    """The source in less than half the bytes: raw deflate, in base64. The browser unpacks it by itself."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return base64.b64encode(packer.compress(source.encode()) + packer.flush()).decode("ascii")


def policy(scripts: list[str]) -> str:
    """Nothing is loaded or sent; these scripts run, WebAssembly compiles, workers come from a blob."""
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {hashes} 'wasm-unsafe-eval' blob:; worker-src blob:; "
        "style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def built(name: str) -> str:
    """A file that web/build.mjs built."""
    text = (BUILT / name).read_text(encoding="utf-8").strip("\n")
    assert not re.search(r"</(script|style)|<!--", text, re.IGNORECASE), f"{name} would end its element"
    return text


def in_script(data: Any) -> str:
    """JSON that ends no script element, whatever text is in it.

    >>> in_script({"text": "</script>"})
    '{"text":"\\\\u003c/script>"}'
    """
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # The line ends that an HTML parser rewrites stand in JSON as escapes already; a lone surrogate is no UTF-8.
    return re.sub(r"[<\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


def read_page(path: Path) -> tuple[dict[str, Any], bytes]:
    """The contents and the weights of a page. Raises CheckpointError."""
    text = path.read_text(encoding="utf-8")
    try:
        found = [text.split(f'<script id="{id}" type="{kind}">')[1].split("</script>")[0] for id, kind in PARTS]
        return json.loads(found[0]), base64.b64decode(found[1], validate=True)
    except (IndexError, ValueError) as error:
        raise CheckpointError(f"{path} is not a page of homespun.", "Export the model again.") from error


PARTS = (("data", "application/json"), ("weights", "text/plain"))
