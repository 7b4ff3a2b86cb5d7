"""Pages in one file: no network, no external font, script or picture, and model text that can only be read.

Jinja2 escapes every value that a template prints, except `Markup` that this module or charts.py made. In addition a
content security policy allows only the page's own stylesheet and script, by their hashes: text that got past the
escaping would still not run.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from harness.report import charts
from harness.tasks.answer_format import check_tags
from harness.tasks.records import Tags
from harness.util.text import INVISIBLE, code_point, shown, visible

FOLDER = Path(__file__).parent / "templates"
HEAD, TAIL = 3000, 2000  # characters of a longer text that are shown: its beginning, and its end with the answer


def page(template: str, script: str | None, **values: Any) -> str:
    """The page made from a template and these values; equal values give equal bytes."""
    style = charts.style() + _asset("style.css")
    code = _asset(script) if script else ""
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
    made.filters["model_text"] = model_text
    made.filters["paragraphs"] = lambda text: text.split("\n")
    made.globals["zip"] = partial(zip, strict=True)
    made.tests["a"] = lambda block, kind: type(block).__name__ == kind
    return made


def model_text(text: str, tags: Tags | None = None) -> Markup:
    """A model's text for a <pre>: escaped, with its tags marked and invisible characters spelled out.

    A long text is cut to its beginning and its end, with a note of how much is left out.
    """
    if len(text) > HEAD + TAIL:
        left_out = Markup('<span class="cut">… {:,} characters left out …</span>').format(len(text) - HEAD - TAIL)
        return _marked(text[:HEAD], tags) + left_out + _marked(text[-TAIL:], tags)
    return _marked(text, tags)


def _marked(text: str, tags: Tags | None) -> Markup:
    known, parts, end = check_tags(tags) if tags else (), [], 0
    for match in _special(known).finditer(text):
        if match[0] in known:
            marked = f"<mark>{escape(visible(match[0]))}</mark>"
        else:  # a repeated character once, with its count: spelled out, many would make a huge page
            times = f" × {len(match[0]):,}" if len(match[0]) > 1 else ""
            marked = f'<span class="unseen">{code_point(match[0][0])}{times}</span>'
        parts += [escape(text[end : match.start()]), marked]
        end = match.end()
    return Markup("".join([*parts, escape(text[end:])]))


@lru_cache(maxsize=4)
def _special(tags: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join([*map(re.escape, tags), rf"(?P<unseen>{INVISIBLE.pattern})(?P=unseen)*"]))


@lru_cache(maxsize=8)
def _asset(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    """The source expression of a content security policy that allows exactly this text."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
