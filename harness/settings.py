"""Every setting of an experiment file, with what is allowed and the default, or those that are asked for.

    python -m harness.settings
    python -m harness.settings train.steps
    python -m harness.settings lora eval.samples
    python -m harness.settings > experiments/SETTINGS.md

A setting is named as on the command line, by section.key; a section means all of its settings.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness.config import arguments, meanings
from harness.util.cli import Parser, exit_code
from harness.util.errors import HarnessError

if TYPE_CHECKING:
    from pydantic import BaseModel

HEAD = """# Every setting

Made from the schema by `python -m harness.settings`. An experiment file names those that differ from the default. On
the command line each can be given as `section.key=value`; `null` stands for nothing.
"""


def markdown() -> str:
    """A table for each section of the experiment file."""
    from harness.config.schema import Config
    from harness.report.markdown import table_lines

    lines = [HEAD]
    for name, field in Config.model_fields.items():
        kind = field.annotation
        if not meanings.is_section(kind):
            continue
        lines += [f"## {name}", "", *([_sentence(kind.__doc__), ""] if kind.__doc__ else [])]
        lines += [*table_lines(("setting", "allowed", "default", ""), _rows(kind, f"{name}.")), ""]
    return "\n".join(lines)


def chosen(asked: list[str]) -> str:
    """What is known of the settings, or sections of them, that are asked for. Raises HarnessError for any other."""
    from harness.config import loading
    from harness.config.schema import Config

    rows = {row[0].strip("`"): row[1:] for row in _rows(Config, "")}
    lines = []
    for key in (word.partition("=")[0] for word in asked):
        named = [name for name in rows if name == key or name.startswith(f"{key}.")]
        if not named:
            raise HarnessError(f"{key}: no such setting; {loading.nearest_key(key)}")
        for name in named:
            allowed, default, meaning = rows[name]
            lines += [name, *([f"    {meaning}"] if meaning else []), f"    allowed: {allowed}"]
            lines += [f"    default: {default}", ""]
    return "\n".join(lines)


def _rows(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, ...]]:
    comments, allowed = meanings.of_section(section), section.model_json_schema()
    for name, field in section.model_fields.items():
        if meanings.is_section(field.annotation):
            yield from _rows(field.annotation, f"{prefix}{name}.")
            continue
        default = _plain(field.get_default(call_default_factory=True))
        shown = "that of the file" if field.is_required() else json.dumps(default, ensure_ascii=False)
        found = _allowed(allowed["properties"][name], allowed.get("$defs", {}))
        yield f"`{prefix}{name}`", found, shown, comments[name]


def _plain(value: Any) -> Any:
    if meanings.is_section(type(value)):
        return value.model_dump()
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _allowed(schema: dict[str, Any], kinds: dict[str, Any]) -> str:
    """A JSON schema in words."""
    if "$ref" in schema:
        fields = kinds[schema["$ref"].rpartition("/")[2]]["properties"]
        return "{" + ", ".join(fields) + "}"
    if "anyOf" in schema:
        return " or ".join(_allowed(each, kinds) for each in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if schema["type"] == "array":
        return f"list of {_allowed(schema['items'], kinds)}"
    limits = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
    kind = {"string": "text", "boolean": "true, false"}.get(schema["type"], schema["type"])
    return ", ".join([kind, *(f"{sign} {schema[name]:,}" for name, sign in limits if name in schema)])


def _sentence(doc: str) -> str:
    return " ".join(doc.split())


def main(argv: list[str] | None = None) -> int:
    parser = Parser("settings", __doc__)
    arguments.add_settings(parser)
    asked = parser.parse(argv).settings
    print(chosen(asked) if asked else markdown(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
