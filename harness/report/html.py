"""Pages in one file: no network, no external font, script or picture, and model text that can only be read.

Jinja2 escapes every value that a template prints, except `Markup` that this module or charts.py made; questions and
completions are data (harness.report.page), which the script shows as text. In addition a content security policy allows
only the page's own stylesheet and script, by their hashes: text that got past the escaping would still not run.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.report import charts
from harness.report.document import Table
from harness.report.wording import TERMS
from harness.util.text import shown

FOLDER = Path(__file__).parent / "templates"
LONGEST_WORD = 40  # characters of a table's cell that is no sentence


def page(template: str, scripts: Sequence[str], **values: Any) -> str:
    """The page made from a template, scripts and these values; equal values give equal bytes."""
    style = charts.style() + _asset("style.css")
    code = "".join(map(_asset, scripts))
    assets = {"style": Markup(style), "style_hash": _hash(style), "script": Markup(code), "script_hash": _hash(code)}
    return environment().get_template(template).render(values | assets)


@lru_cache(maxsize=1)
def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        finalize=shown,  # settings and directory names may hold invisible characters too
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["paragraphs"] = lambda text: text.split("\n")
    made.filters["written"] = _written
    made.filters["measured"] = _measured
    made.filters["prose"] = _prose
    made.globals["terms"] = TERMS
    made.globals["zip"] = partial(zip, strict=True)
    made.tests["a"] = lambda block, kind: type(block).__name__ == kind
    return made


def _written(text: str) -> Markup:
    """A paragraph in which what stands between back quotes is set as code, as Markdown has it."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", _whole_intervals(text)))


def _measured(text: str) -> Markup:
    """A table's cell whose intervals stay on one line, and so do a few counts."""
    counted = re.sub(
        r"^[−\d.,]+%?(?: / [−\d.,]+%?){1,3}$", r'<span class="counts">\g<0></span>', _whole_intervals(text)
    )
    return Markup(counted)


def _whole_intervals(text: str) -> str:
    return re.sub(r"\[[−+\d., ]+\]", r'<span class="interval">\g<0></span>', str(escape(shown(text))))


def _prose(table: Table) -> set[int]:
    """The columns that hold sentences."""
    return {at for row in table.rows for at, cell in enumerate(row) if len(cell) > LONGEST_WORD}


@lru_cache(maxsize=8)
def _asset(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    """The source expression of a content security policy that allows exactly this text."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
