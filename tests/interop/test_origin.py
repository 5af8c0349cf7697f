"""What a model says of itself is read with care, and goes along."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from homespun.interop.origin import front_matter, name_of, origin_of
from tests.checkpoint.models import lively, tiny
from tests.interop.files import bpe, gguf_of


def test_a_folder_says_its_licence_its_base_and_how_to_sample(tmp_path: Path) -> None:
    folder = tmp_path / "my model"
    folder.mkdir()
    (folder / "README.md").write_text(
        "---\nlicense: apache-2.0\nbase_model:\n- org/base\n---\n# it\nlicense: none\n"
    )
    (folder / "generation_config.json").write_text(
        json.dumps({"temperature": 0.6, "top_p": 2.0, "top_k": True, "max_new_tokens": 50, "do_sample": True})
    )
    origin = origin_of(str(folder), folder)
    assert origin.name == "my-model"
    assert origin.license == "apache-2.0"
    assert origin.general["general.base_model.0.name"] == "org/base"
    assert origin.sampling == {"temperature": 0.6, "max_tokens": 50}


@pytest.mark.parametrize(
    "card", ["", "---\n", "no head", "---\nlicense: " + "x" * 5000 + "\n---\n", "---\nlicense:\n---"]
)
def test_a_card_that_says_nothing_is_no_error(card: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(card)
    (tmp_path / "generation_config.json").write_text("{broken")
    assert front_matter(tmp_path / "README.md") == {}
    assert origin_of(tmp_path, tmp_path).sampling == {}


def test_a_file_says_it_in_its_settings(tmp_path: Path) -> None:
    tokenizer = bpe()
    path = gguf_of(
        tmp_path / "a.gguf",
        lively(tiny("llama", vocab_size=tokenizer.vocab_size)),
        tokenizer,
        **{"general__license": "mit", "general__sampling__temp": 0.5, "general__organization": "some"},
    )
    origin = origin_of(str(path), path)
    assert origin.license == "mit"
    assert origin.sampling == {"temperature": 0.5}
    assert origin.general == {"general.license": "mit", "general.organization": "some"}


def test_a_name_is_one_that_a_file_can_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert name_of(".", Path()) == tmp_path.name.replace("[", "-").replace("]", "").strip("-.")
    assert name_of("runs/a b/", Path("runs/a b")) == "a-b"
    assert name_of("org/name@main", Path("/cache/abc")) == "name"
