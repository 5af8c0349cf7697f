"""The small text of the training tests, and its dataset."""

from tests.training.conftest import book, dataset, tokenizer  # noqa: F401
