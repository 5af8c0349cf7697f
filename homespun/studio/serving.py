"""The process of the studio: as homespun serve's, at low priority, with one thread for the models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from socket import socket

import torch

from homespun.server.answering import Server
from homespun.server.engines import Engines
from homespun.server.guard import Rules
from homespun.server.metrics import Metrics
from homespun.server.models import Models
from homespun.server.options import Options
from homespun.server.serving import Process, serve_application
from homespun.studio.app import guarded
from homespun.studio.models import RunModels
from homespun.studio.processes import Launcher, lower_priority
from homespun.studio.state import State
from homespun.studio.static_files import STATIC

SETTINGS = {"device": "cpu", "weights": "float32", "streams": 4, "most_waiting": 68, "wait": False}


def run(
    folder: Path,
    sockets: Sequence[socket],
    *,
    rules: Rules,
    token: str,
    static: Path = STATIC,
    ready: Callable[[Process], None] = lambda process: None,
    is_alone: bool = True,
) -> None:
    """Serves the studio over that folder until it is interrupted. Trainings go on when it has ended.

    is_alone: the process is the studio's alone, and computes at low priority, with one thread.
    """
    launcher = Launcher()  # before the priority is lowered
    if is_alone:
        lower_priority()
        torch.set_num_threads(1)  # not by the environment, which a training would be given, too
    engines = Engines()
    server = Server(Models([], engines, {}), engines, Metrics(), Options(slides=True))
    state = State(folder, static, server, launcher, token=token)
    state.models = server.models = RunModels(state.run_list, engines, SETTINGS)
    serve_application(guarded(state, rules), server, sockets, ready=ready, before_end=state.close)
