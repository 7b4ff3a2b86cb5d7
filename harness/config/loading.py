"""Reading an experiment file: finding it by name, overrides from the command line, one-line errors."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from harness.config import compatibility, yaml_io
from harness.config.schema import Config, Reward
from harness.util.errors import HarnessError
from harness.util.logs import without_secrets


def experiments() -> dict[str, Path]:
    """The experiment files by name, sorted. A file in the working directory hides a shipped one of the same name."""
    folders = [Path(__file__).resolve().parents[2] / "experiments", Path("experiments")]
    return dict(sorted({file.stem: file for folder in folders for file in folder.glob("*.yaml")}.items()))


def find_experiment(name: str) -> Path:
    """The file that a command-line argument means: NAME and experiments/NAME.yaml mean experiments/NAME.yaml.

    Raises HarnessError if there is none, naming the nearest experiment.
    """
    given = Path(name)
    if given.is_file():
        return given
    stem = given.name.removesuffix(".yaml")
    known = experiments()
    if str(given.parent) in (".", "exp", "experiments") and stem in known:
        return known[stem]
    near = difflib.get_close_matches(stem, known, n=1)
    hint = f"did you mean experiments/{near[0]}.yaml?" if near else f"there are: {', '.join(known) or 'none'}"
    raise HarnessError(f"{name}: experiment file not found; {hint}")


def locate(file: str, base: Path = Path()) -> Path:
    """A file that an experiment names: relative to `base`, or if there is none, to the folder of the package.

    So the shipped experiments work from anywhere. The file need not exist.
    """
    places = [(folder / file).resolve() for folder in (base, Path(__file__).resolve().parents[2])]
    return next((place for place in places if place.is_file()), places[0])


def load(path: Path, overrides: list[str] | None = None, *, own: bool = False) -> Config:
    """Read, override and validate an experiment file. Raises HarnessError (one line) for anything wrong.

    own: the settings of a run directory, which have passed the check for keys before.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HarnessError(f"{path}: cannot be read ({error})") from None
    values = yaml_io.parse(text, str(path))
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise HarnessError(f"{path}: found {type(values).__name__}, allowed: a mapping of sections")
    values.setdefault("name", path.stem)
    overridden = [_override(values, item) for item in overrides or []]
    if not own:
        _no_secrets(values, str(path))
    return validate(values, str(path), overridden)


def _no_secrets(values: Any, source: str, path: str = "") -> None:
    """Raise HarnessError for a setting that looks like a key: settings are written into the run directory as they are.

    Also for the value of an environment variable whose name ends in TOKEN, KEY, SECRET or PASSWORD.
    """
    if isinstance(values, dict):
        for key, value in values.items():
            _no_secrets(value, source, f"{path}.{key}" if path else str(key))
    elif isinstance(values, list):
        for value in values:
            _no_secrets(value, source, path)
    elif isinstance(values, str) and without_secrets(values) != values:
        raise HarnessError(
            f"{source}: {path} holds what looks like a key or a password, and settings are written into the run "
            f"directory; leave it out: libraries read their keys from the environment"
        )


def validate(values: dict[str, Any], source: str, overridden: list[str] | None = None) -> Config:
    """Build a Config from plain values. Errors name `source`, or the command line for `overridden` keys."""
    if broken := _undecodable(values):
        raise HarnessError(f"command line: {broken!a} is not valid UTF-8; write it in UTF-8")
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise HarnessError(_explain(error.errors(), source, overridden or [])) from None
    for refusal in compatibility.impossible(config):
        raise HarnessError(f"{source}: {refusal}")
    return config


def _undecodable(value: Any) -> str:
    """The first string in a value that holds bytes of another encoding; empty if there is none."""
    if isinstance(value, (dict, list)):
        return next(filter(None, map(_undecodable, value.values() if isinstance(value, dict) else value)), "")
    return value if isinstance(value, str) and not value.isascii() and re.search("[\ud800-\udfff]", value) else ""


def _override(values: dict[str, Any], item: str) -> str:
    """Set key.path=value in place and return the key path."""
    path, equals, text = item.partition("=")
    path = path.strip()
    if not equals or not path:
        raise HarnessError(
            f"command line: found {item!r}, allowed: key.path=value, such as train.steps=10; a value with blanks needs "
            f"quotes around key.path=value"
        )
    *parents, leaf = path.split(".")
    section = values
    for depth, parent in enumerate(parents, 1):
        section = section.setdefault(parent, {})
        if not isinstance(section, dict):
            raise HarnessError(f"command line: {'.'.join(parents[:depth])} has no keys of its own, in {item!r}")
    try:
        section[leaf] = yaml_io.parse(text, "")
    except HarnessError:  # not YAML, so it can only be text, such as a prompt; for other keys the type check fails
        section[leaf] = text
    return path


def _explain(errors: list[dict[str, Any]], source: str, overridden: list[str]) -> str:
    first = errors[0]
    path = ".".join(str(part) for part in first["loc"])
    by_hand = any(path == o or path.startswith(o + ".") or o.startswith(path + ".") for o in overridden)
    blamed = "command line" if by_hand else source
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    kind, message = first["type"], first["msg"]
    if kind == "extra_forbidden":
        return f"{blamed}: {path}: unknown key; {nearest_key(path)}{more}"
    if kind == "missing":
        return f"{blamed}: {path}: required, but missing{more}"
    if kind.endswith("_type") and isinstance(first["input"], (dict, list, str, int, float, type(None))):
        message = message.replace("dictionary or instance of", "mapping, for").replace("a valid ", "")
    if kind == "list_type" and isinstance(first["input"], (str, int, float)):
        return (
            f"{blamed}: {path}: found {_shown(first['input'])}, allowed: a list; write {path}=[{first['input']}]{more}"
        )
    if kind == "too_short":
        message = f"a list of at least {first['ctx']['min_length']}"
    if kind == "string_pattern_mismatch":
        message = f"text that matches {first['ctx']['pattern']}"
    allowed = message.removeprefix("Input should be ").removeprefix("String should ")
    return f"{blamed}: {path}: found {_shown(first['input'])}, allowed: {allowed}{more}"


def _shown(value: Any) -> str:
    text = "null" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def keys(model: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """Every key path of the experiment file, sections included."""
    found = []
    for name, field in model.model_fields.items():
        found.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += keys(field.annotation, f"{prefix}{name}.")
    return found


def leaves() -> list[str]:
    """The key path of every setting, without those of sections."""
    known = keys()
    return [key for key in known if not any(other.startswith(f"{key}.") for other in known)]


def nearest_key(path: str) -> str:
    """What an error about an unknown key path says next: the nearest one, or those of its section."""
    parent, _, leaf = path.rpartition(".")
    siblings = [key for key in keys() if key.rpartition(".")[0] == parent]
    if parent.startswith("rewards.functions."):  # the one list whose items have keys
        siblings = [f"{parent}.{name}" for name in Reward.model_fields]
    by_leaf = {key.rpartition(".")[2]: key for key in reversed(keys())}
    near = difflib.get_close_matches(path, siblings, n=1, cutoff=0.75)
    if not near and len(leaf) > 1:
        near = [key for key in siblings if leaf == "".join(word[0] for word in key.rpartition(".")[2].split("_"))]
    if not near:
        near = [by_leaf[name] for name in difflib.get_close_matches(leaf, by_leaf, n=1, cutoff=0.6)]
    if near:
        return f"did you mean {near[0]}?"
    return f"allowed: {', '.join(siblings)}" if siblings else "no key of that section is known"
