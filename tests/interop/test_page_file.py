"""A page is one closed file: what is in it, what is not, how large it is, and what may run in it."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import zlib
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from homespun.checkpoint.folder import save_model
from homespun.errors import CheckpointError, UsageError
from homespun.interop.origin import Origin
from homespun.interop.page.contents import fitting_context
from homespun.interop.page.export import check_size
from homespun.interop.page.write import BUILT, read_page
from homespun.model.config import BigramConfig, GPTConfig
from tests.interop.pages import exported, model_of, tokenizer_of
from tests.patience import PATIENCE

WEB = Path(__file__).parents[2] / "web"
MOST_CODE = 80_000  # bytes of a page beside contents and weights
MOST_BUILT = 200_000


class Elements(HTMLParser):
    """The start tags of a page, and the text of its scripts."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.tags[-1] if self.tags else ("", {})
        if tag == "script" and data.strip():
            name = attributes.get("id") or "boot"
            self.scripts[name] = self.scripts.get(name, "") + data


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = tokenizer_of("char")
    origin = Origin("</script> & <b>friends</b>", license="mit")
    out = tmp_path_factory.mktemp("page") / "page.html"
    exported(model_of("modern", tokenizer), tokenizer, out, origin=origin, check=("my letters",), prove=False)
    return out


def unpacked(script: str) -> str:
    return zlib.decompress(base64.b64decode(script), -zlib.MAX_WBITS).decode()


def test_the_policy_forbids_every_connection_and_names_each_script_by_its_hash(page: Path) -> None:
    found = Elements(page)
    (policy,) = [a["content"] for tag, a in found.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert set(rules) == {
        "default-src",
        "script-src",
        "worker-src",
        "style-src",
        "img-src",
        "base-uri",
        "form-action",
    }
    assert "unsafe-inline" not in rules["script-src"]
    sources = [found.scripts["boot"], *(unpacked(found.scripts[name]) for name in ("page", "worker"))]
    for source in sources:
        assert (
            f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'"
            in rules["script-src"]
        )


def test_nothing_in_a_page_is_loaded_from_elsewhere(page: Path) -> None:
    found = Elements(page)
    assert not [(tag, a) for tag, a in found.tags if {"src", "href", "srcset", "action"} & set(a)]
    assert "url(" not in page.read_text(encoding="utf-8").split("</style>")[0]


def test_a_name_with_markup_in_it_stays_text(page: Path) -> None:
    found = Elements(page)
    assert set(found.scripts) == {"data", "page", "worker", "boot", "weights"}
    assert read_page(page)[0]["card"]["name"] == "</script> & <b>friends</b>"
    assert "b" not in {tag for tag, _ in found.tags}


def test_texts_that_a_user_compares_on_stay_at_home(page: Path) -> None:
    assert "my letters" not in page.read_text(encoding="utf-8")


def test_the_card_says_what_the_model_is(page: Path) -> None:
    card = read_page(page)[0]["card"]
    assert card["facts"] == [["text", "a yarn"], ["licence", "mit"]]
    assert card["parameters"] > 1000
    assert card["precision"] == "int8"


def test_the_code_in_a_page_is_small(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    scripts = Elements(page).scripts
    code = len(text.encode()) - len(scripts["data"].encode()) - len(scripts["weights"].encode())
    assert 20_000 < code <= MOST_CODE


def test_the_code_with_every_part_is_small_enough_for_git() -> None:
    assert sum(path.stat().st_size for path in BUILT.iterdir()) <= MOST_BUILT


def test_the_built_files_are_what_the_sources_give(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None or not (WEB / "node_modules").is_dir():
        pytest.skip("there is no Node here, or `npm ci` was not run in web/")
    subprocess.run([node, "build.mjs", str(tmp_path / "built")], cwd=WEB, check=True, timeout=PATIENCE)
    assert {path.name: path.read_bytes() for path in (tmp_path / "built").iterdir()} == {
        path.name: path.read_bytes() for path in BUILT.iterdir()
    }


def test_every_built_file_is_installed() -> None:
    project = (WEB.parent / "pyproject.toml").read_text(encoding="utf-8")
    endings = {path.suffix for path in BUILT.iterdir()}
    assert all(f'"interop/page/built/*{ending}"' in project for ending in endings)


def test_a_model_that_is_too_large_for_a_page_is_refused_with_what_to_use_instead() -> None:
    shape = {"vocab_size": 49_152, "context_length": 2048, "n_head": 9, "n_kv_head": 3}
    large = GPTConfig.of("llama", n_layer=30, n_embd=576, n_inner=1536, tied_head=True, **shape)
    with pytest.raises(UsageError, match="179 MB") as refused:
        check_size(large, "int8")
    assert "--to gguf" in str(refused.value.todo)
    medium = GPTConfig.of("llama", n_layer=12, n_embd=576, n_inner=1536, tied_head=True, **shape)
    with pytest.raises(UsageError) as refused:
        check_size(medium, "f16")
    assert "--quantize int8" in str(refused.value.todo)
    check_size(medium, "int8")


def test_a_context_that_a_browser_has_no_memory_for_is_cut_to_one_that_it_has() -> None:
    config = GPTConfig.of("llama", vocab_size=500, context_length=32_768, n_layer=24, n_head=8, n_embd=512)
    assert 256 <= fitting_context(config) < 32_768
    assert fitting_context(config.with_(context_length=512)) == 512
    assert fitting_context(BigramConfig(65)) == 8


def test_a_run_says_where_it_comes_from_without_its_folder(tmp_path: Path) -> None:
    from homespun.api.page import name_of

    assert name_of("/home/anna/letters/1987.txt") == "1987.txt"


def test_the_user_exports_a_page_from_a_folder(tmp_path: Path) -> None:
    import homespun
    from tests.checkpoint.models import char_tokenizer, lively, tiny

    save_model(tmp_path / "book", lively(tiny("modern")), char_tokenizer())
    done = homespun.export(tmp_path / "book", to="page", out=tmp_path / "mine", prove=False)
    assert done.out == tmp_path / "mine" / "book.html"
    assert done.checks[0].difference.divergence < 0.01
    assert any("not measured" in note for note in done.notes)
    with pytest.raises(UsageError, match="is there already"):
        homespun.export(tmp_path / "book", to="page", out=tmp_path / "mine", prove=False)
    with pytest.raises(UsageError, match="no quantization 'q8_0' for a page"):
        homespun.export(tmp_path / "book", to="page", quantize="q8_0", out=tmp_path / "other")


def test_weights_that_int8_cannot_hold_are_refused_with_the_way_on(tmp_path: Path) -> None:
    """One weight far beyond the others takes the steps of its whole row."""
    tokenizer = tokenizer_of("char")
    model = model_of("modern", tokenizer)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("up.weight", "query.weight", "head.weight")):
                weight[:, 0] = 300.0
    with pytest.raises(CheckpointError, match="not the model") as refused:
        exported(model, tokenizer, tmp_path / "page.html", prove=False)
    assert "--quantize f16" in refused.value.todo
    assert list(tmp_path.iterdir()) == []
