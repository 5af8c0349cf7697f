"""llama.cpp itself, asked what it makes of a GGUF file, in a process of its own: a crash of it is an answer too.

Used where the package `xllamacpp` (Python bindings of llama.cpp) is installed; homespun does not need it.
The process reads one JSON object from its standard input, and writes JSON lines:

    {"file": …, "texts": […], "sequences": [[…], …], "most": 50, "ordinary": 0}
    -> {"version": …}  {"tokens": [[…], …]}  {"candidates": [[{id: log-probability}, …], …]}
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homespun.errors import CheckpointError

PACKAGE = "xllamacpp"
MOST_SECONDS = 7200.0  # a minute is usual; beyond it nothing is known of the file, and that is what is said
MOST_CANDIDATES = 200  # tokens whose log-probabilities are asked for at a position
NOT_TO_BE_USED = 77  # exit code: the package is there and cannot be imported


@dataclass(frozen=True)
class Answer:
    """What llama.cpp made of the file.

    version     of the package
    tokens      the ids of each text
    candidates  of each sequence, after each of its ids: id -> log-probability, the likeliest ones
    """

    version: str
    tokens: list[list[int]]
    candidates: list[list[dict[int, float]]]


def is_installed() -> bool:
    return importlib.util.find_spec(PACKAGE) is not None


def ask(
    file: Path, texts: Sequence[str], sequences: Sequence[Sequence[int]], *, vocab_size: int, ordinary: int
) -> Answer | None:
    """What llama.cpp makes of these texts, and what it expects after every id of these sequences.

    ordinary: a token that ends no text. None where the package cannot be used on this machine.
    Raises CheckpointError where llama.cpp does not open the file, or ends over it.
    """
    question = {
        "file": str(file.resolve()),
        "texts": list(texts),
        "sequences": [list(ids) for ids in sequences],
        "most": min(vocab_size, MOST_CANDIDATES),
        "ordinary": ordinary,
    }
    with tempfile.TemporaryFile("w+b") as said:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "homespun.interop.llama_cpp"],
                input=json.dumps(question).encode(),
                stdout=subprocess.PIPE,
                stderr=said,
                timeout=MOST_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise CheckpointError(
                f"llama.cpp did not answer within {MOST_SECONDS / 3600:.0f} hours: this computer is busy.",
                "Export again when it has less. With --no-llama-cpp the file is written without asking llama.cpp.",
            ) from error
        said.seek(0)
        log = said.read().decode("utf-8", "replace")
    if done.returncode == NOT_TO_BE_USED:
        return None
    found: dict[str, Any] = {}
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        if line.startswith("{"):  # what llama.cpp itself prints does not
            found |= json.loads(line)
    if done.returncode != 0 or "candidates" not in found:
        raise CheckpointError(
            f"llama.cpp does not run this file: {why(done.returncode, log)}.",
            "That is a bug of the export. With --no-llama-cpp the file is written without asking llama.cpp.",
        )
    candidates = [[{int(id): value for id, value in one.items()} for one in ids] for ids in found["candidates"]]
    return Answer(found["version"], found["tokens"], candidates)


def why(code: int, log: str) -> str:
    """The last line of its log that speaks of an error."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    spoken = next((line for line in reversed(lines) if "rror" in line or "failed" in line or "ASSERT" in line), "")
    return f"it ended with {code}, and said: {spoken[:300]}" if spoken else f"it ended with {code}"


# ---- the other process ----


def main() -> int:
    question = json.load(sys.stdin)
    try:
        import xllamacpp
    except Exception as error:  # noqa: BLE001  built for another machine, or half installed: whatever it is, it is no answer
        print(error, file=sys.stderr)
        return NOT_TO_BE_USED
    print(json.dumps({"version": xllamacpp.__version__}), flush=True)
    server = started(xllamacpp, question)
    tokens = [tokens_of(server, text) for text in question["texts"]]
    print(json.dumps({"tokens": tokens}), flush=True)
    candidates = [
        [candidates_after(server, ids[:end], question) for end in range(1, len(ids) + 1)]
        for ids in question["sequences"]
    ]
    print(json.dumps({"candidates": candidates}), flush=True)
    sys.stdout.flush()
    os._exit(0)  # its threads are none of our concern any more


def started(xllamacpp: Any, question: dict[str, Any]) -> Any:
    """Its server, on a port of this machine that nobody else is told. Keys and values are kept in float32."""
    params = xllamacpp.CommonParams()
    params.model.path = question["file"]
    params.n_ctx = max(map(len, question["sequences"])) + 32
    params.n_parallel = 1
    params.n_gpu_layers = 0
    params.warmup = False
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.cpuparams.n_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
    return xllamacpp.Server(params)


def tokens_of(server: Any, text: str) -> list[int]:
    asked = {"content": text, "add_special": False, "parse_special": False}
    tokens: list[int] = post(server, "/tokenize", asked)["tokens"]
    return tokens


def candidates_after(server: Any, ids: list[int], question: dict[str, Any]) -> dict[int, float]:
    """The log-probabilities as the model has them. What it then writes is forced: of an end nothing is told."""
    asked = {
        "prompt": ids,
        "n_predict": 1,
        "n_probs": question["most"],
        "logit_bias": [[question["ordinary"], 1e4]],
        "cache_prompt": True,
    }
    step = post(server, "/completion", asked)["completion_probabilities"][0]
    return {one["id"]: one["logprob"] for one in step["top_logprobs"]}


def post(server: Any, path: str, asked: dict[str, Any]) -> Any:
    import urllib.error
    import urllib.request

    request = urllib.request.Request(
        server.listening_address + path,
        data=json.dumps(asked).encode(),
        headers={"Content-Type": "application/json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=MOST_SECONDS) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"error: it does not answer {path}: {error.read(300).decode('utf-8', 'replace')}")


if __name__ == "__main__":
    sys.exit(main())
