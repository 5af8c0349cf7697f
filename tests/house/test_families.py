"""What is particular to a family of models stands in model/families.py: no other file asks which family it has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from homespun.model.families import MODELS

PACKAGE = Path(__file__).parents[2] / "homespun"
HOME = PACKAGE / "model" / "families.py"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != HOME)
NAMES = {
    *MODELS,
    *(one.hugging_face.model_type for one in MODELS.values() if one.hugging_face),
    *(one.hugging_face.architecture for one in MODELS.values() if one.hugging_face),
    *(one.gguf.architecture for one in MODELS.values() if one.gguf),
}
# Names of tokenizers, which are called as the models are that they come from.
TOKENIZERS = {
    ("tokenizer/make.py", "spec == 'gpt2'"),
    ("tokenizer/open.py", "('bpe', 'gpt2', 'sentencepiece')"),
    ("interop/gguf/tokenizer.py", "kind == 'gpt2'"),
    ("interop/gguf/tokenizer.py", "kind == 'llama'"),
    ("interop/gguf/tokenizer.py", "('qwen2', 'deepseek-r1-qwen')"),
    ("interop/gguf/tokenizer.py", "{'gpt2': byte_level, 'llama': sentencepiece}"),
    ("interop/gguf/tokenizer.py", "file.settings.get('tokenizer.ggml.model') == 'llama'"),
    ("interop/gguf/tokenizer.py", "file.settings.get('tokenizer.ggml.model') != 'llama'"),
}
LOOK_UPS = {"get", "startswith", "endswith"}
VALUES = {"FAMILIES", "MODELS"}  # what is looked up in them is a family's value, and not something about its name


def questions(tree: ast.AST) -> Iterator[str]:
    """The expressions that depend on a family's name."""
    return (ast.unparse(node) for node in ast.walk(tree) if asks(node))


def asks(node: ast.AST) -> bool:
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        return any(is_name(side) or is_family(side) for side in sides) and not is_membership(node)
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        return any(map(is_name, node.elts))
    if isinstance(node, ast.Dict):
        return any(is_name(key) for key in node.keys if key)
    if isinstance(node, ast.MatchValue):
        return is_name(node.value)
    if isinstance(node, ast.Subscript):
        return is_family(node.slice) and root(node.value) not in VALUES
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LOOK_UPS:
        asked = [*node.args, node.func.value]
        return any(is_family(one) or is_name(one) for one in asked) and root(node.func.value) not in VALUES
    return False


def is_name(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in NAMES


def is_family(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "family"


def is_membership(node: ast.Compare) -> bool:
    """`family in MODELS`: whether there is such a family at all."""
    return all(isinstance(op, (ast.In, ast.NotIn)) for op in node.ops) and all(
        root(side) in VALUES for side in node.comparators
    )


def root(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_but_one_asks_for_a_familys_name(path: Path) -> None:
    place = path.relative_to(PACKAGE).as_posix()
    found = set(questions(ast.parse(path.read_text(encoding="utf-8"))))
    allowed = {question for file, question in TOKENIZERS if file == place}
    assert found <= allowed, "ask the family for what you want to know, and say it in model/families.py"


@pytest.mark.parametrize(
    "question",
    [
        'config.family == "gpt2"',
        'plan.model in ("lecture", "bigram")',
        "config.family not in SHAPES",
        '{"modern": 1, "llama": 2}',
        "HARDER.get(config.family, 1.0)",
        "ARCHITECTURES[config.family]",
        'model != "lecture"',
        'shape == "qwen3"',
        "portrait.family in LIKE",
        'family.startswith("gpt2")',
    ],
)
def test_every_way_to_ask_is_found(question: str) -> None:
    """Each of them stood somewhere once."""
    assert list(questions(ast.parse(question)))


def test_a_lookup_in_the_families_is_no_question() -> None:
    assert not list(questions(ast.parse('FAMILIES[config.family].gguf; family in MODELS; f(model="modern")')))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_outside_the_models_room_asks_whether_a_model_is_a_bigram(path: Path) -> None:
    if path.parent.name != "model":
        assert not re.search(r"isinstance\([^)]*Bigram", path.read_text(encoding="utf-8"))
