"""What the server was started with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """
    queue        how many texts of a model may wait
    most_n       the largest n
    slides       texts go on beyond the context, and prompts are cut, where a request says nothing about it
    strict       unknown fields are refused instead of ignored
    log_prompts  prompts stand in the log
    """

    queue: int = 256
    most_n: int = 16
    slides: bool = False
    strict: bool = False
    log_prompts: bool = False
