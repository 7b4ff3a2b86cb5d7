"""YAML for experiment files: 5e-6 is a number, a repeated key is an error, and written values read back unchanged."""

from __future__ import annotations

import re
from typing import Any

import yaml

from harness.util.errors import HarnessError

LONGEST = 200_000  # characters of an experiment file
DEEPEST = 20  # levels of its nesting
_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads 5e-6 as a number (YAML 1.1 requires 5.0e-6) and refuses a key given twice."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:  # merged keys may be repeated: the ones written out take precedence
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes strings that `_Loader` would read as numbers."""


for _each in (_Loader, _Dumper):
    _each.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
    )


def parse(text: str, source: str) -> Any:
    """The value of a YAML text. Raises HarnessError, one line that names the source, if it is not YAML."""
    if len(text) > LONGEST:  # a comment of 10 MB takes PyYAML most of a minute
        raise HarnessError(f"{source}: has {len(text):,} characters, and settings at most {LONGEST:,}")
    try:
        _check_shape(text, source)
        return yaml.load(text, Loader=_Loader)
    except (ValueError, TypeError, RecursionError) as error:  # an impossible date, a list as a key, 3,000 brackets
        raise HarnessError(f"{source}: cannot be read as YAML: {type(error).__name__}: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1} column {mark.column + 1}" if mark else ""
        raise HarnessError(f"{source}:{where} is not valid YAML: {getattr(error, 'problem', None) or error}") from None


def _check_shape(text: str, source: str) -> None:
    """Raise HarnessError for aliases, which may contain themselves or multiply, and for deep nesting, which is slow."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise HarnessError(
                f"{source}: line {event.start_mark.line + 1} has an alias (*{event.anchor}); write the value out"
            )
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise HarnessError(f"{source}: line {event.start_mark.line + 1} is nested more than {DEEPEST} levels deep")


def dump(values: dict[str, Any]) -> str:
    """The values as YAML that `parse` reads back unchanged, keys in their order."""
    for readable in (True, False):  # a few Unicode line breaks are lost unless escaped
        text = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=readable, width=100)
        if yaml.load(text, Loader=_Loader) == values:
            return text
    raise ValueError("these settings cannot be written as YAML")
