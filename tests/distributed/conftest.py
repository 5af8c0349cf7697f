"""The small text of the tests of training."""

from tests.training.conftest import book, dataset, tokenizer

__all__ = ["book", "dataset", "tokenizer"]
