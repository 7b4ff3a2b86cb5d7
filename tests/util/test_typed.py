"""Dataclasses as files: what is read back, and one line for what does not match."""

from __future__ import annotations

import dataclasses

import pytest

from harness.util import files, typed
from harness.util.errors import HarnessError


@dataclasses.dataclass(frozen=True)
class Inner:
    name: str
    share: float


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: tuple[Inner, ...]
    table: dict[str, int | None]
    later: str | None = dataclasses.field(default=None, metadata=typed.OMITTED)


VALUE = Outer((Inner("a", 1.0), Inner("b", 0.5)), {"x": 1, "y": None})


def test_what_is_written_is_read_back(tmp_path):
    files.write_json(tmp_path / "f.json", typed.plain(VALUE))
    assert "later" not in (tmp_path / "f.json").read_text()
    assert typed.read(Outer, tmp_path / "f.json") == VALUE
    files.write_json(tmp_path / "f.json", typed.plain(VALUE) | {"later": "now", "of a newer version": 1})
    assert typed.read(Outer, tmp_path / "f.json") == dataclasses.replace(VALUE, later="now")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON ("),
        ("[]", "its content: found []"),
        ('{"inner": [], "later": null}', "table is missing (damaged, or written by another version)"),
        ('{"inner": [{"name": "a"}], "table": {}}', "inner.0.share is missing"),
        ('{"inner": [{"name": 3, "share": 1}], "table": {}}', "inner.0.name: found 3, expected a valid string"),
        ('{"inner": [], "table": {"x": "1"}}', "table.x: found '1', expected a valid integer"),
        ("\ufeff{}", "not JSON ("),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, content, said):
    (tmp_path / "f.json").write_text(content, encoding="utf-8")
    with pytest.raises(HarnessError) as refused:
        typed.read(Outer, tmp_path / "f.json")
    assert str(refused.value).startswith(f"{tmp_path / 'f.json'}: {said}") and "\n" not in str(refused.value)


def test_a_missing_file_says_what_makes_it(tmp_path):
    with pytest.raises(HarnessError, match="missing; run the experiment again to make it"):
        typed.read(Outer, tmp_path / "f.json")


@dataclasses.dataclass(frozen=True, slots=True)
class One:
    value: int
    left: str


@dataclasses.dataclass(frozen=True, slots=True)
class Other:
    value: int
    right: float


@dataclasses.dataclass(frozen=True, slots=True)
class Holder:
    held: typed.either(One, Other, "right")


def test_one_of_two_kinds_is_told_by_its_key_and_its_errors_are_its_own(tmp_path):
    for text, found in (
        ('{"held": {"value": 1, "left": "a"}}', One(1, "a")),
        ('{"held": {"value": 1, "right": 0.5}}', Other(1, 0.5)),
    ):
        assert typed.parse(Holder, text.encode(), "here") == Holder(found)
    for text, said in (
        ('{"held": {"value": 1}}', "held.left is missing"),
        ('{"held": {"right": 0.5}}', "held.value is missing"),
        ('{"held": {"value": 1, "right": "x"}}', "held.right: found 'x', expected a valid number"),
        ('{"held": 3}', "held: found 3, expected an object"),
    ):
        with pytest.raises(HarnessError, match=f"^here: {said}"):
            typed.parse(Holder, text.encode(), "here")


def test_the_remedy_is_the_callers():
    with pytest.raises(HarnessError, match=r"value is missing .*; do this$"):
        typed.parse(One, b"{}", "here", "do this")


def test_a_record_is_made_of_another():
    assert typed.fields(One(1, "a")) == {"value": 1, "left": "a"}
