"""The session, and what the studio is."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from homespun.studio.schema.values import Answer, Request


class SessionRequest(Request):
    """token: behind #token= in the address that the terminal has printed."""

    token: Annotated[str, Field(min_length=1, max_length=200)]


class Studio(Answer):
    """
    folder            that the studio shows, in full; folder_name: its last part
    cores             that a training may use
    memory            bytes of this computer; memory_free of them are free now
    upload_bytes      the most that one upload may have
    most_compared     the most runs that can be compared
    extras            what is installed: chat, constrained, gguf, formats, finetune
    """

    version: str
    folder: str
    folder_name: str
    cores: int
    memory: int
    memory_free: int
    upload_bytes: int
    most_compared: int
    extras: dict[str, bool]
