"""What each setting means, in the words of the schema's comments, which this reads from its source."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

_LINE = re.compile(r"    (\w+): .*?(?:  # (.*))?$")


def by_key() -> dict[str, str]:
    """By section.key; "" where the schema says nothing."""
    from harness.config.schema import Config

    return _flat(Config, "")


def of_section(section: type[BaseModel]) -> dict[str, str]:
    """By the section's own names: the comment behind each setting, or those on the lines before it."""
    found, before = {}, []
    for line in inspect.getsource(section).splitlines():
        if comment := re.fullmatch(r"    # (.*)", line):
            before.append(comment[1])
            continue
        if setting := _LINE.match(line):
            found[setting[1]] = setting[2] or " ".join(before)
        before = []
    return found


def is_section(kind: Any) -> bool:
    return inspect.isclass(kind) and hasattr(kind, "model_fields")


def _flat(section: type[BaseModel], prefix: str) -> dict[str, str]:
    said, found = of_section(section), {}
    for name, field in section.model_fields.items():
        if is_section(field.annotation):
            found |= _flat(field.annotation, f"{prefix}{name}.")
        else:
            found[prefix + name] = said[name]
    return found
