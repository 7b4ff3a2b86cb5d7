"""The tracker `swanlab`: the only module that imports SwanLab, with resvg and pillow for the plots.

SwanLab is set to record only what it is given: no hardware, host name, command, packages, git, output.
"""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from harness.config.schema import Config
from harness.report import charts
from harness.runs import machine
from harness.runs.directory import RunDir
from harness.track.reader import Shown
from harness.track.tracker import TrackerKind
from harness.util.errors import HarnessError
from harness.util.text import one_line, quoted, visible

if TYPE_CHECKING:
    import swanlab

DASHBOARD = 'pip install -e ".[dashboard]"'
SHARPNESS = 2  # image pixels per pixel of the chart
# resvg has no fallback for the font that it is given; the first one is its own default.
FONTS = ("Arial", "DejaVu Sans", "Liberation Sans", "Noto Sans", "Helvetica")


class SwanLab(TrackerKind):
    title = "SwanLab"

    def refusals(self, config: Config) -> Iterator[str]:
        project = config.track.project
        if not re.fullmatch(r"[0-9A-Za-z_.+-]{1,100}", project):
            yield f"track.project: found {project!r:.60}, allowed by SwanLab: up to 100 letters, digits and any of _.+-"

    def check(self, mode: str) -> None:
        if not machine.installed("swanlab"):
            raise HarnessError("track.tracker: swanlab is not installed: pip install -e ., or set track.mode=disabled")
        if mode == "local" and not machine.installed("swanboard"):
            raise HarnessError(f"track.mode: local needs SwanLab's dashboard: {DASHBOARD}")
        if mode == "online" and not _has_key():
            raise HarnessError("track.mode: online needs an account: swanlab login, or set SWANLAB_API_KEY")

    def where(self, run: RunDir, mode: str, identity: str) -> str:
        if mode == "local":
            return f"swanlab watch {quoted(run.tracked)}"
        extra = "" if machine.installed("swanboard") else f", after {DASHBOARD}"
        return f"offline; to see it: python -m harness.track {quoted(run.path)} --mode local{extra} (or online)."

    def open(self, run: RunDir, mode: str, identity: str) -> SwanLabRun:
        return SwanLabRun(run, mode, identity)


def _has_key() -> bool:
    """Whether SwanLab finds an API key, by its own rules: its environment variable, or what `swanlab login` left."""
    import swanlab

    return bool(swanlab.Settings().api_key)


class SwanLabRun:
    """One SwanLab run, open until finish(). Without the network unless online."""

    def __init__(self, run: RunDir, mode: str, identity: str) -> None:
        """Empty the run's swanlab/ folder and open the SwanLab run `identity` in it; as TrackerKind.open.

        Online, a SwanLab run of that identity is continued: SwanLab leaves out what comes for a step that it has
        already passed.
        """
        import swanlab

        folder = run.tracked
        folder.mkdir(parents=True, exist_ok=True)
        for item in folder.iterdir():  # the folder itself may be a link to a larger disk, or a mount
            shutil.rmtree(item) if item.is_dir() and not item.is_symlink() else item.unlink()
        if mode != "online":
            _isolate(str(folder))
        settings = swanlab.Settings(
            interactive=False,
            probe=swanlab.Settings.Probe(
                hardware=False, runtime=False, requirements=False, conda=False, git=False, swanlab=False, monitor=False
            ),
            terminal=swanlab.Settings.Terminal(proxy_type="none"),
            run=swanlab.Settings.Run(dir=f"run-{identity}"),
        )
        try:
            self._run = swanlab.init(
                mode=mode,
                id=identity,
                resume="allow" if mode == "online" else None,
                log_dir=str(folder),
                project=run.config.track.project,
                name=run.path.name,
                config=run.config.model_dump(exclude={"track"}) | {"digest": run.config.digest()},
                settings=settings,
            )
        except Exception as error:  # whatever it raises must not stop the experiment
            # SwanLab reports a server that does not answer as a wrong key.
            hint = "; check that its server can be reached" if mode == "online" else ""
            raise HarnessError(f"SwanLab ({mode}) did not start: {type(error).__name__}: {error}{hint}") from None
        self.url = one_line(self._run.url) if mode == "online" else None

    def show(self, shown: Shown) -> None:
        import swanlab

        values = shown.numbers | {
            key: [swanlab.Text(visible(text), caption=one_line(caption)) for text, caption in texts]
            for key, texts in shown.texts.items()
        }
        self._run.log(values | {key: _drawn(chart) for key, chart in shown.charts.items()}, step=shown.step)

    def finish(self, state: str) -> None:
        self._run.finish(state, error="stopped before the report" if state != "success" else None)


def _isolate(folder: str) -> None:
    """Keep SwanLab inside the folder: logins, webhooks or modes set for other work have no effect here."""
    for name in [name for name in os.environ if name.startswith("SWANLAB_")]:
        del os.environ[name]
    os.environ |= {"SWANLAB_ROOT": folder, "SWANLAB_CONFIG_DIR": folder}
    os.chdir(folder)


def _drawn(chart: str) -> swanlab.Image | swanlab.Html:
    """A chart (the text of its SVG file) as an image, or as a page if its text cannot be drawn."""
    import swanlab

    if not _can_draw():
        return swanlab.Html(chart)
    from PIL import Image

    return swanlab.Image(Image.open(io.BytesIO(_png(charts.in_light(chart), _font()))))


def _can_draw() -> bool:
    """Whether resvg, pillow and a font are installed: without a font, resvg silently leaves out text."""
    return all(map(machine.installed, ("resvg_py", "PIL"))) and _font() is not None


@cache
def _font() -> str | None:
    """The first of FONTS with which resvg draws a letter; None if none is installed."""
    canvas = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40">{}</svg>'
    letter = canvas.format('<text x="9" y="30" font-family="sans-serif">8</text>')
    return next((font for font in FONTS if _png(letter, font) != _png(canvas.format(""), font)), None)


def _png(svg: str, font: str) -> bytes:
    import resvg_py

    fonts = {"font_family": font, "sans_serif_family": font}
    return bytes(resvg_py.svg_to_bytes(svg_string=svg, background="white", zoom=SHARPNESS, **fonts))


TRACKER = SwanLab()
