"""The speed of the scorer, the scorer panel and the rewards, of reports and of their comparison."""

from __future__ import annotations

from pathlib import Path

from harness.bench import common
from harness.compare import formats
from harness.compare import groups as run_groups
from harness.config import arguments
from harness.report import write
from harness.runs import directory
from harness.tasks import panel, scoring
from harness.tasks.records import Tags
from harness.train import rewards
from harness.train.reward_pieces import Setting
from harness.util import locks
from harness.util.cli import Parser

SIZE = 100_000  # characters of a hostile text
ORDINARY = (
    "<start_working_out>\nShe sells 16 - 3 - 4 = 9 eggs a day, so she makes 9 * 2 = $18.\n"
    "<end_working_out>\n<SOLUTION>18</SOLUTION>",
    "<start_working_out>It takes 2/2=1 bolt of white fiber, so 3.<end_working_out><SOLUTION>3</SOLUTION>",
    "<start_working_out>80,000 + 50,000 = 130,000<end_working_out>\n<SOLUTION>$70,000 profit</SOLUTION>",
    "He runs 3*60 = 180 meters three times a week.\nThat is 3 * 180 = 540 meters.\n\n**Answer:** 540 meters",
    "Each chicken gets 3 cups, so the flock of 20 needs 60 cups; 60 - 15 - 25 leaves 20 cups.",
)


def hostile_texts(size: int = SIZE) -> dict[str, str]:
    """Texts of about `size` characters on which plain patterns backtrack or big numbers are slow."""
    tags = Tags()
    head = f"{tags.working_start}w{tags.working_end}"
    block = f"{tags.solution_start}1{tags.solution_end}"
    working = f"{tags.working_start}{tags.working_end}"
    digits = f"{head}{tags.solution_start}{'9' * size}{tags.solution_end}"
    return {
        "solution blocks": head + block * (size // len(block)) + "x",
        "working tags": f"{working}\n" * (size // (len(working) + 1)),
        "newlines": "\n" * size,
        "digits": digits,
    }


def scoring_speed(argv: list[str]) -> None:
    """Score, the panel and the tutorial's rewards on hostile texts, and the first two on ordinary ones."""
    Parser("bench scoring", scoring_speed.__doc__ or "").parse(argv)
    functions = {
        "score": lambda text: scoring.score(text, "18"),
        "panel": lambda text: [scorer.rule(text, "18", Tags()) for scorer in panel.SCORERS],
    }
    names = list(rewards.PROFILES["tutorial"])
    for function in rewards.build(names, profile="tutorial", setting=Setting(Tags(), 0, 0, 1), base_dir=Path()):
        functions[function.__name__] = lambda text, f=function: f(completions=[text], answer=["18"])
    print(f"milliseconds a text of {SIZE:,} characters")
    print(f"{'':16}" + "".join(f"{name:>20}" for name in functions))
    for label, text in hostile_texts().items():
        cells = [common.milliseconds(lambda f=function, t=text: f(t)) for function in functions.values()]
        print(f"{label:16}" + "".join(f"{cell:20.3f}" for cell in cells))
    rounds = 2000
    for name in ("score", "panel"):
        total = common.milliseconds(lambda f=functions[name]: [f(text) for _ in range(rounds) for text in ORDINARY])
        print(f"{name} on ordinary texts: {1000 * total / rounds / len(ORDINARY):.1f} µs a text")


def report(argv: list[str]) -> None:
    """Draw each run's report again, with summary and page, and the comparison of all as a page."""
    parser = Parser("bench report", report.__doc__ or "")
    arguments.add_runs(parser)
    paths = [path for path in parser.parse(argv).runs if (path / "summary.json").exists()]
    total = 0.0
    for run in map(directory.existing, paths):
        with locks.lock(run.path):
            seconds = common.milliseconds(lambda run=run: write.write(run), repeats=1) / 1000
        total += seconds
        print(f"{run.path.name}: {seconds:.2f} s, page of {run.page.stat().st_size / 1e6:.1f} MB")
    print(f"all {len(paths)}: {total:.2f} s")
    if paths:
        drawn = common.milliseconds(
            lambda: formats.page(run_groups.comparable(run_groups.load(paths)), "wilson", Path())
        )
        print(f"their comparison: {drawn / 1000:.2f} s, imports not counted")
