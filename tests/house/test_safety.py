"""Nothing from outside is ever executed: no pickle, no eval, no shell strings, no code of a model's."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# The tests are left out: they make pickles, to see that none is opened.
FOLDERS = ("homespun", "benchmarks", "lessons", "docs")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))

FORBIDDEN_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "torch.save"}
FORBIDDEN_CALLS |= {"torch.jit.load", "torch.hub.load", "yaml.load", "yaml.unsafe_load", "runpy.run_path"}
FORBIDDEN_KEYWORDS = {"shell", "trust_remote_code", "allow_pickle"}


def dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def offences(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            # `from torch import load` would hide whose `load` it is.
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [f"{node.lineno}: {name}" for name in whole if name in FORBIDDEN_CALLS]
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom) and node.module:
                names.append(node.module)
            found += [f"{node.lineno}: {name}" for name in names if name.split(".")[0] in FORBIDDEN_MODULES]
        if isinstance(node, ast.Call):
            name = dotted(node.func).removeprefix("builtins.")
            if name in FORBIDDEN_CALLS:
                found.append(f"{node.lineno}: {name}()")
            for keyword in node.keywords:
                off = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                if keyword.arg in FORBIDDEN_KEYWORDS and not off:
                    found.append(f"{node.lineno}: {keyword.arg}=")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_executes_what_comes_from_outside(path: Path) -> None:
    assert offences(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load('x')",
        "from torch import load",
        "from os import system",
        "eval('1')",
        "import builtins\nbuiltins.exec('1')",
        "import torch\ntorch.jit.load('x')",
        "from transformers import AutoModel\nAutoModel.from_pretrained('x', trust_remote_code=True)",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import numpy\nnumpy.load('x', allow_pickle=True)",
    ],
)
def test_the_reader_of_this_test_sees_what_it_looks_for(source: str) -> None:
    assert offences(source)


def test_what_is_switched_off_is_no_offence() -> None:
    assert offences("import numpy\nnumpy.load('x', allow_pickle=False)") == []
