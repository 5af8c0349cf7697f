"""A server in this process, with small models of bytes: real sockets, real HTTP, the real loop."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from homespun.checkpoint.folder import save_model
from homespun.model.config import GPTConfig
from homespun.model.gpt import GPT
from homespun.server import serving
from homespun.server.guard import Rules
from homespun.server.models import Entry
from homespun.server.options import Options
from homespun.tokenizer.byte import ByteTokenizer
from homespun.tokenizer.chat_marks import with_chat_template
from tests.patience import PATIENCE

# Offers tools, and writes calls and their results, as Qwen's template does.
TOOL_TEMPLATE = (
    "{% if tools %}<tools>{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}</tools>{% endif %}"
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}"
    "{% for call in m.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}\n"
    "{% endfor %}{% if add_generation_prompt %}[assistant] {% endif %}"
)


def make_model(folder: Path, *, context: int, template: str | None = None, seed: int = 1) -> Path:
    """template: "chatml", or a template of its own; None completes text."""
    tokenizer = ByteTokenizer().for_a_new_model(documents=2)
    if template == "chatml":
        tokenizer = with_chat_template(tokenizer)
    elif template is not None:
        tokenizer.settings["chat_template"] = template
    torch.manual_seed(seed)
    shape = {"n_layer": 2, "n_head": 2, "n_embd": 16, "context_length": context}
    model = GPT(GPTConfig.of("modern", vocab_size=tokenizer.vocab_size, **shape))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(8.0 if weight.ndim == 2 else 1.0)
        # One number of every hidden state is much the same everywhere, and says "letters": texts can be read.
        readable = torch.full((tokenizer.vocab_size,), -1.5)
        readable[97:123] = 1.5
        model.token_embedding.weight[:, 0] = 0.5
        model.head.weight[:, 0] = readable
    save_model(folder, model, tokenizer)
    return folder


@dataclass
class Running:
    """A server that runs. url: without /v1. found: its process, once the first model is loaded."""

    url: str
    port: int
    found: list[serving.Process]

    @property
    def process(self) -> serving.Process:
        return self.found[0]

    @property
    def server(self) -> Any:
        return self.process.server


@contextlib.contextmanager
def running(
    entries: Sequence[Entry],
    *,
    rules: dict[str, Any] | None = None,
    streams: int = 16,
    wait: bool = False,
    is_loaded: bool = True,
    **options: Any,
) -> Iterator[Running]:
    """is_loaded: wait until the first model is, before anything is asked."""
    ready = threading.Event()
    found: list[serving.Process] = []

    def tell(process: serving.Process) -> None:
        found.append(process)
        ready.set()

    with serving.listening(serving.Address(port=0)) as sockets:
        port = sockets[0].getsockname()[1]
        chosen = Options(**options)
        settings = {
            "device": "cpu",
            "weights": "float32",
            "streams": streams,
            "wait": wait,
            "most_waiting": streams + chosen.queue,
        }

        def work() -> None:
            serving.run(
                entries,
                sockets,
                settings=settings,
                options=chosen,
                rules=Rules(port=port, **(rules or {})),
                ready=tell,
            )

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        assert not is_loaded or ready.wait(PATIENCE), "the server does not start"
        try:
            yield Running(f"http://127.0.0.1:{port}", port, found)
        finally:
            assert ready.wait(PATIENCE), "the first model is not loaded"
            found[0].should_exit = True
            found[0].end_texts()
            thread.join(PATIENCE)
            assert not thread.is_alive()
