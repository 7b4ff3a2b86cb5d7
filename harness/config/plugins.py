"""What the experiment file chooses by name: engines, trainer backends, trackers. To add one: its file and a row here.

Each object declares in its own file which settings it reads, which it does not support, and what machine it needs.
Its module must not import a model library before it is started: settings are checked on machines without one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from harness.tasks.registry import TASKS
from harness.tasks.task import Task as Benchmark
from harness.util.registry import Registry

Config = Any  # harness.config.schema.Config, which imports this module for its names


class Plugin:
    """What the settings need to know about an engine, a trainer backend or a tracker."""

    # Key paths that only this plugin reads: if another is chosen, they change no number.
    own_settings: tuple[str, ...] = ()

    def refusals(self, config: Config) -> Iterator[str]:
        """Yield "key path: what is wrong and what to do" for each setting of the experiment that is not supported."""
        yield from ()

    def idle(self, config: Config) -> tuple[str, ...]:
        """Those of its own key paths that change no number in this experiment."""
        return ()

    def unavailable(self, config: Config) -> str | None:
        """Why it cannot do its part of the experiment on this machine, and what to set instead; None if it can."""
        return None


# Rows of harness.models.engine.EngineKind.
ENGINES: Registry[Any] = Registry(
    {"vllm": "harness.models.vllm:ENGINE", "transformers": "harness.models.hf:ENGINE"},
)
# Rows of harness.train.backend.TrainerBackend.
BACKENDS: Registry[Any] = Registry(
    {"unsloth": "harness.train.unsloth_backend:BACKEND", "trl": "harness.train.trl_backend:BACKEND"}
)
# Rows of harness.track.tracker.TrackerKind.
TRACKERS: Registry[Any] = Registry({"swanlab": "harness.track.swanlab:TRACKER"})


def _known(registry: Registry[Any]) -> AfterValidator:
    """A validator that accepts the registry's names, in pydantic's words for a fixed choice."""

    def check(name: str) -> str:
        if name not in registry.names():
            *most, last = map(repr, registry.names())
            expected = f"{', '.join(most)} or {last}" if most else last
            raise PydanticCustomError("unknown_name", "Input should be {expected}", {"expected": expected})
        return name

    return AfterValidator(check)


Task = Annotated[str, _known(TASKS)]
Engine = Annotated[str, _known(ENGINES)]
Backend = Annotated[str, _known(BACKENDS)]
Tracker = Annotated[str, _known(TRACKERS)]


def chosen(config: Config) -> list[Plugin]:
    """The engine, the trainer backend and the tracker of the experiment."""
    return [ENGINES.get(config.eval.engine), BACKENDS.get(config.train.backend), TRACKERS.get(config.track.tracker)]


def task(config: Config) -> Benchmark:
    """The benchmark whose questions are asked; of several the first, which is the run's own."""
    return TASKS.get(config.eval.tasks[0])


def idle(config: Config) -> tuple[str, ...]:
    """Key paths that change no number: those of the engines not chosen, and those that chosen plugins name."""
    others = [plugin for name, plugin in ENGINES.all() if name != config.eval.engine]
    paths = [path for plugin in others for path in plugin.own_settings]
    return (*paths, *(path for plugin in chosen(config) for path in plugin.idle(config)))
