"""The user's own reward functions: loaded from a file, with checks of what they return."""

from __future__ import annotations

import copy
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.config.loading import locate
from harness.util.errors import HarnessError
from harness.util.text import plural

RewardFunction = Callable[..., list[float | None]]
"""Called with equal-length lists by keyword: prompts, completions, answer and whatever else TRL passes."""


LARGEST = 3.4e38  # TRL keeps rewards in float32


class RewardError(HarnessError, ValueError):
    """A reward function that cannot be found or breaks its contract; the message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(f"rewards.functions: {message}")


def users_own(name: str, base_dir: Path, modules: dict[Path, ModuleType]) -> RewardFunction:
    file, _, attribute = name.rpartition(":")
    if not file or not attribute:
        raise RewardError(f"reward {name!r} names no function; write path/to/file.py:function")
    path = locate(file, base_dir)
    if path not in modules:
        modules[path] = _load(path)
    function = getattr(modules[path], attribute, None)
    if function is None:
        own = [each for each, value in vars(modules[path]).items() if _is_own_function(value, modules[path])]
        raise RewardError(f"reward {name!r}: {path} has no function {attribute!r}; it has: {', '.join(own) or 'none'}")
    if not callable(function):
        raise RewardError(f"reward {name!r}: {attribute!r} is not a function")
    if inspect.iscoroutinefunction(function):
        raise RewardError(f"reward {name!r}: {attribute!r} is asynchronous; write a plain function")
    reward = _checked(name, path, function)
    reward.__name__ = reward.__qualname__ = own_name(path, attribute)
    return reward


def _is_own_function(value: Any, module: ModuleType) -> bool:
    return inspect.isfunction(value) and value.__module__ == module.__name__


def own_name(path: Path, attribute: str) -> str:
    return f"{path.stem}_{attribute}"


def _load(path: Path) -> ModuleType:
    if not path.is_file():
        raise RewardError(f"reward file {path} does not exist; paths are relative to the working directory")
    # Under a name of our own: the file must not hide an installed module, and no module must hide the file.
    spec = importlib.util.spec_from_file_location(f"harness_reward_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise RewardError(f"reward file {path} is not a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[spec.name]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise RewardError(f"reward file {path} cannot be loaded: {_one_line(error, path)}") from error
    return module


def _checked(name: str, path: Path, function: Callable[..., Any]) -> RewardFunction:
    """The user's function with a check that it returns one finite number or None for each completion."""

    def reward(*, completions: Sequence[Any], **columns: Any) -> list[float | None]:
        try:
            # Copies: its changes to them must not reach the other rewards or the record.
            own = {name: copy.deepcopy(value) if isinstance(value, list) else value for name, value in columns.items()}
            if "log_metric" in own:
                own["log_metric"] = _own_metrics(name, own["log_metric"])
            returned = function(completions=copy.deepcopy(completions), **own)
            rewards = returned.tolist() if hasattr(returned, "tolist") else returned
            rewards = list(rewards) if isinstance(rewards, Iterable) else None
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a user's code raises is a line about that code
            hint = _hint(error, ["completions", *columns])
            raise RewardError(f"reward {name!r} failed: {_one_line(error, path)}{hint}") from error
        is_list = isinstance(rewards, list) and not isinstance(returned, (Mapping, str))
        if not is_list or len(rewards) != len(completions):
            found = plural(len(rewards), "reward") if is_list else f"a {type(returned).__name__}"
            raise RewardError(f"reward {name!r} returned {found}; expected a list of {len(completions)} rewards")
        return [None if value is None else _finite(name, value) for value in rewards]

    return reward


def _own_metrics(name: str, log: Callable[[str, float], None]) -> Callable[[str, float], None]:
    """log_metric for a user's function: a finite number, under a name that none of the trainer's or ours can have."""

    def logged(metric: str, value: Any) -> None:
        log(f"user/{metric}", _finite(f"{name}, log_metric {metric}", value))

    return logged


def _hint(error: BaseException, given: Sequence[str]) -> str:
    """What to change in the parameters of a function that does not take the arguments that a reward is called with."""
    if "unexpected keyword argument" in _said(error):
        return "; end its parameters with **columns"
    if isinstance(error, TypeError) and "required positional argument" in _said(error):
        return f"; a reward is given {', '.join(given)}"
    return ""


def _finite(name: str, value: Any) -> float:
    try:
        number = value.item() if hasattr(value, "item") else value
    except (ValueError, RuntimeError):  # from NumPy and torch, for an array or a tensor with several elements
        number = None
    if not isinstance(number, Real) or not abs(number) <= LARGEST:
        raise RewardError(f"reward {name!r} returned {str(value)[:60]!r}; expected a finite number in float32's range")
    return float(number)


def _said(error: BaseException) -> str:
    try:
        return " ".join(str(error).split())
    except Exception:
        return "its message cannot be shown"


def _one_line(error: BaseException, path: Path) -> str:
    """The error's type, its message, and the last line of the user's file in its traceback."""
    text = f"{type(error).__name__}: {_said(error)}".removesuffix(": ")
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    return f"{text} (line {lines[-1]})" if lines else text
