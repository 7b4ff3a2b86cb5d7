"""Frozen dataclasses as JSON: read, checked and written by one rule; an error is one line that names the field.

The module that owns a file defines its dataclass and calls `read` and `plain`; no other module opens the file. Unknown
fields are ignored, so that a newer version may add some; a missing field or a wrong type is an error. A field with
`metadata=OMITTED` is left out of the file if it has its default.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Discriminator, Tag, TypeAdapter, ValidationError

from harness.util import files
from harness.util.errors import HarnessError

T = TypeVar("T")
OMITTED = {"omitted": True}  # metadata of a field: no key in the file if the value is the default


REMEDY = "delete it and run again"


def read(kind: type[T], path: Path, remedy: str = REMEDY) -> T:
    """The dataclass that a JSON file holds.

    Raises HarnessError (one line that ends in the remedy) if the file is missing, is not JSON, or does not match.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise HarnessError(f"{path}: missing; run the experiment again to make it") from None
    except OSError as error:  # a folder, a link to itself, no permission
        raise HarnessError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
    return parse(kind, content, str(path), remedy)


def read_lines(kind: type[T], log: Path, after: int = 0) -> list[T]:
    """The dataclasses in the lines that files.whole_lines returns. Raises HarnessError naming the line."""
    lines = enumerate(files.whole_lines(log, after), after + 1)
    return [parse(kind, line, f"{log} line {number}") for number, line in lines]


def parse(kind: type[T], content: bytes, source: str, remedy: str = REMEDY) -> T:
    """The dataclass that a JSON text holds; `source` is named in the error. Raises HarnessError as `read`."""
    try:
        return _adapter(kind).validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise HarnessError(f"{source}: {_in_words(first)}; {remedy}") from None


def either(first: type, second: type, key: str) -> Any:
    """The annotation of a field that holds one of two kinds: the second if the JSON object has this key.

    With a plain union, an error would name the fields missing from the kind that was not meant.
    """
    choice = Discriminator(lambda found: "(second)" if isinstance(found, dict) and key in found else "(first)")
    return Annotated[Annotated[first, Tag("(first)")] | Annotated[second, Tag("(second)")], choice]


def plain(value: Any) -> Any:
    """A dataclass and its contents as JSON types: dicts, lists, strings, numbers, booleans and None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kept = ((field, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {f.name: plain(held) for f, held in kept if not (f.metadata.get("omitted") and held == f.default)}
    if isinstance(value, dict):
        return {key: plain(held) for key, held in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(held) for held in value]
    return value


def fields(record: Any) -> dict[str, Any]:
    """The values of a dataclass by field, to build a record with more fields from it."""
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}


@cache
def _adapter(kind: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(kind)


def _in_words(first: Any) -> str:
    """An error in words, such as "scores.3.gold is missing" or "n: found 'many', expected a valid integer"."""
    place = ".".join(part for part in map(str, first["loc"]) if not part.startswith("("))  # the tags of `either`
    kind = first["type"]
    if kind == "json_invalid":
        return f"not JSON ({first['ctx']['error']})"
    if kind == "missing":
        return f"{place} is missing (damaged, or written by another version)"
    found = repr(first["input"])
    found = found if len(found) <= 60 else f"{found[:57]}..."
    return f"{place or 'its content'}: found {found}, expected {first['msg'].removeprefix('Input should be ')}"
