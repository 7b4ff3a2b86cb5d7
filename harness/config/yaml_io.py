"""YAML as experiment files have it: 5e-6 is a number, no key comes twice, and what is written reads back as it was."""

from __future__ import annotations

import re
from typing import Any

import yaml

from harness.util.errors import HarnessError

_MERGE = "tag:yaml.org,2002:merge"


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads 5e-6 as a number (YAML 1.1 wants 5.0e-6) and refuses a key given twice."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:  # whose keys may come again: those written out hold
                continue
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} given twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that puts in quotes what `_Loader` would read as a number."""


for _each in (_Loader, _Dumper):
    _each.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
    )


def parse(text: str, source: str) -> Any:
    """The value that a text stands for. Raises HarnessError, one line that names the source, where it is no YAML."""
    try:
        return yaml.load(text, Loader=_Loader)
    except (ValueError, TypeError, RecursionError) as error:  # a date that is none, a list as a key, 3,000 brackets
        raise HarnessError(f"{source}: is not YAML that can be read: {type(error).__name__}: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1} column {mark.column + 1}" if mark else ""
        raise HarnessError(f"{source}:{where} is not YAML: {getattr(error, 'problem', None) or error}") from None


def dump(values: dict[str, Any]) -> str:
    """The values as a text that `parse` reads back as they are, keys in their order."""
    for readable in (True, False):  # unescaped a few line breaks of Unicode's get lost
        text = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=readable, width=100)
        if yaml.load(text, Loader=_Loader) == values:
            return text
    raise ValueError("settings that YAML does not hold")
