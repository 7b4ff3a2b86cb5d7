"""An experiment as SwanLab keeps it: the only module that imports SwanLab, with resvg and pillow for the plots.

SwanLab is told to look at nothing but what it is given: no hardware, host name, command, packages, git, output.
"""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
from functools import cache

import swanlab

from harness.report import charts
from harness.runs.directory import RunDir
from harness.track.reader import Shown
from harness.util.errors import HarnessError
from harness.util.text import one_line, visible

SHARPNESS = 2  # pixels of an image for one of the chart's own file


def has_key() -> bool:
    """Whether SwanLab finds an API key, by its own rules: its environment variable, or what `swanlab login` left."""
    return bool(swanlab.Settings().api_key)


class SwanLabRun:
    """One SwanLab run, open until finish(). Without the network unless online."""

    def __init__(self, run: RunDir, mode: str, identity: str) -> None:
        """Make the run's swanlab/ folder anew and open the SwanLab run `identity` in it.

        run.path must be absolute. Online, a SwanLab run of that identity is gone on with: SwanLab leaves out what
        comes for a step that it has already passed. Raises HarnessError where SwanLab refuses or cannot be reached.
        """
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
        except Exception as error:  # whatever it raises, it is not what the experiment is about
            # To SwanLab a server that does not answer is a key that is wrong.
            hint = "; is its server within reach?" if mode == "online" else ""
            raise HarnessError(f"SwanLab ({mode}) did not start: {type(error).__name__}: {error}{hint}") from None
        self.url = one_line(self._run.url) if mode == "online" else None

    def show(self, shown: Shown) -> None:
        values = shown.numbers | {
            key: [swanlab.Text(visible(text), caption=one_line(caption)) for text, caption in texts]
            for key, texts in shown.texts.items()
        }
        self._run.log(values | {key: _drawn(chart) for key, chart in shown.charts.items()}, step=shown.step)

    def finish(self, state: str) -> None:
        """Write, and online send, what is left; state: success, crashed or aborted."""
        self._run.finish(state, error="stopped before the report" if state != "success" else None)


def _isolate(folder: str) -> None:
    """Keep SwanLab to the folder: a login, a webhook or a mode set for other work says nothing here."""
    for name in [name for name in os.environ if name.startswith("SWANLAB_")]:
        del os.environ[name]
    os.environ |= {"SWANLAB_ROOT": folder, "SWANLAB_CONFIG_DIR": folder}
    os.chdir(folder)


def _drawn(chart: str) -> swanlab.Image | swanlab.Html:
    """A chart (the text of its SVG file) as an image; as a page where its words cannot be drawn."""
    if not _can_draw():
        return swanlab.Html(chart)
    from PIL import Image

    return swanlab.Image(Image.open(io.BytesIO(_png(charts.in_light(chart)))))


@cache
def _can_draw() -> bool:
    """Whether resvg and pillow are there, and a font: without one resvg leaves words out and says nothing."""
    if not all(importlib.util.find_spec(package) for package in ("resvg_py", "PIL")):
        return False
    canvas = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40">{}</svg>'
    return _png(canvas.format('<text x="9" y="30">8</text>')) != _png(canvas.format(""))


def _png(svg: str) -> bytes:
    import resvg_py

    return bytes(resvg_py.svg_to_bytes(svg_string=svg, background="white", zoom=SHARPNESS))
