"""The command line: one file a verb. `app` finds the verb, `telling` says what went wrong, `screen` prints."""

from homespun.cli.app import main

__all__ = ["main"]
