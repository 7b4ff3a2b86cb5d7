"""The report stage: summary.json, two plots and report.md out of what the other stages left.

    python -m harness.report results/quickstart-1a2b3c4d

JSON is the truth; the Markdown is drawn from it and can be drawn again at any time.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import rundir, summary
from harness.console import markdown, say
from harness.errors import HarnessError, Parser, exit_code
from harness.rundir import RunDir
from harness.stats import spell_p
from harness.summary import points_text, rate_text

SHOWN = 3  # questions a kind in the gallery
LONGEST = 1200  # characters of a completion in the gallery
TRUNCATED = 0.01  # share of completions cut at the token limit above which the report says it aloud
LABELS = {"accuracy": "Accuracy", "strict": "Strict accuracy", "format": "Format"}


def write(run: RunDir) -> dict[str, Any]:
    """Write summary.json, plots/ and, last, report.md; returns the summary. Raises HarnessError."""
    numbers = summary.summarize(run)
    rundir.write_json(run.summary, numbers)
    metrics = _metrics(run, numbers)
    rundir.write_text(run.plots / "before_after.svg", _plot_before_after(numbers))
    rundir.write_text(run.plots / "reward.svg", _plot_reward(metrics))
    rundir.write_text(run.report, "\n".join(_lines(run, numbers)) + "\n")
    return numbers


def _metrics(run: RunDir, numbers: dict[str, Any]) -> list[dict[str, Any]]:
    return rundir.read_lines(run.train(numbers["train"]["seed"]) / "metrics.jsonl")


def show(run: RunDir) -> None:
    """Print the report's verdict and its table, and where the rest is."""
    head = run.report.read_text(encoding="utf-8").partition("\n## ")[0]
    markdown(head.strip())
    say(f"\nReport: {run.report}")


# --- the text -----------------------------------------------------------------------------------------------


def _lines(run: RunDir, numbers: dict[str, Any]) -> Iterator[str]:
    yield f"# {run.path.resolve().name}"
    yield ""
    yield f"**{numbers['verdict']['sentence']}**"
    yield ""
    yield from _table(run, numbers)
    yield ""
    yield "## How to read this"
    yield ""
    yield from _reading(run, numbers)
    yield ""
    yield "![Accuracy, strict accuracy and format before and after, with 95% intervals](plots/before_after.svg)"
    yield ""
    yield from _decomposition(numbers)
    yield from _counts(numbers)
    yield from _training(run, numbers)
    yield from _rollouts(run, numbers)
    yield from _proof(numbers)
    yield from _gallery(run, numbers)
    yield from _provenance(run, numbers)


def _table(run: RunDir, numbers: dict[str, Any]) -> Iterator[str]:
    n = numbers["n"]
    yield f"| {n:,} questions | base | tuned | difference, points | gained | lost | mid-p | exact p |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, label in LABELS.items():
        d = numbers["difference"][name]
        yield (
            f"| {label} | {rate_text(numbers['base'][name])} | {rate_text(numbers['tuned'][name])} | {_points(d)} "
            f"| {d['gained']} | {d['lost']} | {spell_p(d['mid_p'])} | {spell_p(d['exact_p'])} |"
        )
    scored, model = run.config.eval.precision, run.config.model
    trained = "4-bit" if model.load_in_4bit else "8-bit" if model.load_in_8bit else model.precision
    if trained != scored:
        yield f"| Weights | {scored} | {scored} | **trained in {trained}** | | | | |"


def _reading(run: RunDir, numbers: dict[str, Any]) -> Iterator[str]:
    conditions = numbers["conditions"]
    yield (
        "Brackets are 95% intervals. Accuracy is a right final answer in any format, strict accuracy a right one in "
        "the exact format, format the exact format, each over all questions; truncated and unparsed count as wrong. "
        f"Intervals treat the {numbers['n']:,} questions as a sample of similar questions; both models answered the "
        "same questions (paired). They describe this checkpoint; variation from retraining is not included (one seed)."
    )
    methods = sorted({numbers["difference"][name]["method"] for name in LABELS})
    yield f"Intervals of single rates: {numbers['base']['accuracy']['method']}. Of differences: {', '.join(methods)}."
    decoding = "greedy" if not conditions["sampling"]["temperature"] else f"sampled {conditions['sampling']}"
    yield (
        f"Both sides: {conditions['split']} split, {decoding}, at most {conditions['max_new_tokens']} new tokens, "
        f"{conditions['precision']}, {conditions['engine']}."
    )
    p = numbers["problems"]
    left_out = f" ({p['repeated']} rows left out: their question had occurred before)" if p["repeated"] else ""
    yield f"Problems: {p['train']:,} train, {p['dev']:,} dev, {p['test']:,} test{left_out}."
    if conditions["split"] == "test":
        others = _other_looks(run, conditions)
        yield (
            "This run scored the test questions once with the base and once with the tuned model, and never while "
            f"training. {others} other finished run{'s' * (others != 1)} in this results folder scored the same "
            "questions: the more looks, the better the best of them seems."
        )


def _other_looks(run: RunDir, conditions: dict[str, Any]) -> int:
    """How many other runs beside this one have been scored on the same questions."""
    found = 0
    for file in run.path.parent.glob("*/summary.json"):
        try:
            other = rundir.read_json(file)
        except HarnessError:  # somebody else's broken file is no reason to have no report
            continue
        same = isinstance(other, dict) and other.get("conditions", {}).get("data") == conditions["data"]
        found += same and file.parent.resolve() != run.path.resolve()
    return found


def _decomposition(numbers: dict[str, Any]) -> Iterator[str]:
    parts, strict = numbers["decomposition"], numbers["difference"]["strict"]
    yield "## Mathematics or format?"
    yield ""
    yield (
        f"Strict accuracy changed by {_points(strict)} points: {_points(parts['mathematics'])} are mathematics (more "
        f"or fewer right answers), {_points(parts['format'])} are format (right answers that the format no longer "
        "costs)."
    )
    both = parts["where_both_comply"]
    if both:
        yield (
            f"On the {parts['both_comply']:,} questions that both answered in the exact format, accuracy changed by "
            f"{_points(both)} points ({100 * both['base']:.1f}% to {100 * both['tuned']:.1f}%)."
        )
    else:
        yield "There is no question that both answered in the exact format."
    yield ""


def _counts(numbers: dict[str, Any]) -> Iterator[str]:
    for side in ("base", "tuned"):
        share = numbers[side]["truncated"] / numbers[side]["completions"]
        if share > TRUNCATED:
            yield f"**{share:.1%} of the {side} completions were cut at the token limit and count as wrong.**"
            yield ""
    yield "| completions | base | tuned |"
    yield "|---|---|---|"
    for label, name in (
        ("all", "completions"),
        ("cut at the token limit", "truncated"),
        ("no answer found", "unparsed"),
    ):
        yield f"| {label} | {numbers['base'][name]:,} | {numbers['tuned'][name]:,} |"
    yield f"| mean tokens | {numbers['base']['mean_tokens']:.1f} | {numbers['tuned']['mean_tokens']:.1f} |"
    yield f"| each tag exactly once | {rate_text(numbers['base']['tags'])} | {rate_text(numbers['tuned']['tags'])} |"
    yield ""
    yield "| rule that found the answer | base | right | tuned | right | Δ right |"
    yield "|---|---|---|---|---|---|"
    for rule, c in numbers["decomposition"]["by_rule"].items():
        change = c["tuned_correct"] - c["base_correct"]
        yield f"| {rule} | {c['base']} | {c['base_correct']} | {c['tuned']} | {c['tuned_correct']} | {change:+d} |"
    yield ""


def _training(run: RunDir, numbers: dict[str, Any]) -> Iterator[str]:
    t, trained, lora = run.config.train, numbers["train"], run.config.lora
    yield "## Training"
    yield ""
    yield "![Mean reward of each training step](plots/reward.svg)"
    yield ""
    if trained["reward_first"] is not None:
        yield (
            f"The mean reward went from {trained['reward_first']:.2f} to {trained['reward_last']:.2f} (first and last "
            f"{summary.REWARD_SHARE:.0%} of {trained['steps']} steps, {trained['completions']:,} completions). The "
            "reward is what was optimised; the table above is what came of it."
        )
    seconds = [row["step_time"] for row in _metrics(run, numbers) if row.get("step_time")]
    if len(seconds) > 1:
        yield f"A step took {statistics.median(seconds[1:]):.2f} s (median), the first one {seconds[0]:.2f} s."
    if trained["dropped_prompts"]:
        yield f"{trained['dropped_prompts']} training prompts were over {t.max_prompt_tokens} tokens and left out."
    for name, share in trained["profiles_disagree"].items():
        yield f"The tutorial's and the robust rewards disagreed on {name} in {share:.1%} of the completions."
    yield ""
    yield "Pinned, because library defaults have moved: " + ", ".join(
        f"{name} {getattr(t, name)}"
        for name in (
            "loss_type", "beta", "kl_importance_weighted", "scale_rewards", "importance_sampling", "epsilon",
            "num_iterations", "mask_truncated_completions", "temperature", "top_p", "top_k", "min_p", "optimizer",
        )
    ) + f", seed {trained['seed']}."  # fmt: skip
    for stage, backend in run.read_manifest().get("backends", {}).items():
        if backend != t.backend:
            yield f"**{stage}: by {backend}, because {t.backend} could not run there.**"
    yield (
        f"LoRA r {lora.r}, alpha {lora.alpha}; learning rate {t.learning_rate:g}, {t.prompts_per_step} prompts x "
        f"{t.generations} completions a step; rewards: {run.config.rewards.profile} profile, "
        + ", ".join(f"{f.name} x {f.weight:g}" for f in run.config.rewards.functions)
        + ". What the trainer really used: train/*/effective_settings.json."
    )
    yield ""


def _rollouts(run: RunDir, numbers: dict[str, Any]) -> Iterator[str]:
    """The best and the worst of the completions kept from the first and from the last step."""
    import pyarrow.parquet

    file = run.train(numbers["train"]["seed"]) / "completions.parquet"
    rows = pyarrow.parquet.read_table(file).to_pylist() if file.exists() else []
    steps = sorted({row["step"] for row in rows})
    for step in dict.fromkeys([*steps[:1], *steps[-1:]]):
        ranked = sorted((row for row in rows if row["step"] == step), key=lambda row: row["reward"])
        for row in (ranked[-1], ranked[0]):
            yield f"Step {step}, reward {row['reward']:g}, gold {row['gold']}:"
            yield from _fenced(row["completion"][:LONGEST])
            yield ""


def _proof(numbers: dict[str, Any]) -> Iterator[str]:
    p = numbers["proof"]
    yield "## Was the adapter applied?"
    yield ""
    yield (
        f"The engine loaded {p['modules_loaded']} of the adapter's {p['modules']} modules. With B scaled by "
        f"{p['scale']:g} its log-probs on {p['tokens']} probe tokens change in correlation "
        f"{p['correlation_amplified']:.4f} with PEFT's own (0.95 is needed); a zeroed copy gives "
        f"{p['correlation_zeroed']:.4f} and a wrongly named one {p['correlation_renamed']:.4f}. Of the "
        f"{p['completions_changed_by_peft']} probe completions that it changes in PEFT, it changes "
        f"{p['completions_changed']} in the engine. The adapter itself "
        f"changes a token's log-prob by {p['adapter_change']:.3g} nats on average, scoring the base again by "
        f"{p['rerun_change']:.3g}."
    )
    yield ""


def _gallery(run: RunDir, numbers: dict[str, Any]) -> Iterator[str]:
    """The first few gained and lost questions, both completions as they are, fenced so that nothing in them acts."""
    sides = [run.base, run.tuned(numbers["train"]["seed"])]
    scores = [rundir.read_json(side / "result.json")["scores"] for side in sides]
    texts = [{(r["id"], r["sample"]): r["text"] for r in rundir.read_lines(side / "samples.jsonl")} for side in sides]
    pairs = list(zip(*scores, strict=True))
    for title, before, after in (("Gained", False, True), ("Lost", True, False)):
        chosen = [(b, t) for b, t in pairs if (b["correct"], t["correct"]) == (before, after)]
        if not chosen:
            continue
        yield f"## {title} ({min(SHOWN, len(chosen))} of {len(chosen)})"
        yield ""
        for pair in chosen[:SHOWN]:
            yield f"Problem {pair[0]['id']}, gold {pair[0]['gold']}:"
            yield ""
            for side, score, found in zip(("base", "tuned"), pair, texts, strict=True):
                yield f"{side}: answer {score['answer']}, {score['why']}"
                yield from _fenced(found[score["id"], score["sample"]][:LONGEST])
                yield ""


def _fenced(text: str) -> Iterator[str]:
    fence = "```"
    while fence in text:
        fence += "`"
    yield from (fence + "text", text, fence)


def _provenance(run: RunDir, numbers: dict[str, Any]) -> Iterator[str]:
    manifest = run.read_manifest()
    yield "## Time and provenance"
    yield ""
    yield "What each stage took, in its last attempt if it was resumed:"
    yield ""
    yield "| stage | start, s | work, s | tokens | tokens/s | peak memory, MiB | peak GPU, MiB |"
    yield "|---|---|---|---|---|---|---|"
    for stage, c in manifest.get("stages", {}).items():
        speed = c["tokens"] / max(c["seconds"], 0.01)
        yield (
            f"| {stage} | {c['start_seconds']} | {c['seconds']} | {c['tokens']:,} | {speed:,.0f} "
            f"| {c['peak_memory_mib']:,} | {c.get('peak_gpu_mib', '-')} |"
        )
    yield ""
    if wall := manifest.get("wall_seconds"):
        gpu = manifest.get("machine", {}).get("gpu")
        hours = f"; {sum(wall.values()) / 3600:.3f} GPU-hours on one {gpu}" if gpu else ""
        took = ", ".join(f"{stage} {seconds:,.0f} s" for stage, seconds in wall.items())
        yield f"Wall time of the stages, imports and all attempts that came to an end included: {took}{hours}."
        if run.config.eval.engine == "vllm":
            share = run.config.eval.gpu_memory_utilization
            yield f"vLLM fills its share of the GPU (at most {share:g} of it) with KV cache, whatever it needs."
        yield ""
    made = list(dict.fromkeys(map(_made_with, manifest.get("made_with", {}).values())))
    if len(made) > 1:
        yield "**The stages were made with different versions of the harness or of its packages:**"
    yield from made
    yield "Content: " + ", ".join(f"{name} {value[:16]}" for name, value in manifest.get("inputs", {}).items())
    test = numbers["selftest"]
    yield (
        f"Scorer version {numbers['conditions']['scorer']}; before each evaluation its self-test passed on "
        f"{test['golds']:,} golds in {test['spellings']:,} spellings and {test['adversarial']:,} adversarial texts."
    )


def _made_with(made: dict[str, Any]) -> str:
    changes = f" with changes ({made['diff_sha256'][:8]})" if made["dirty"] else ""
    commit = (made["commit"] or "not from a git checkout") + changes
    return f"Harness {commit}; " + ", ".join(f"{name} {version}" for name, version in made["versions"].items())


def _points(difference: dict[str, Any]) -> str:
    return points_text(difference).replace("-", "−")


# --- the plots ------------------------------------------------------------------------------------------------


def _svg(figure: Any) -> str:
    """The figure as SVG; equal figures are equal bytes."""
    import io

    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def _axes(height: float) -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "harness"
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _plot_before_after(numbers: dict[str, Any]) -> str:
    figure, axes = _axes(2.6)
    for offset, side, colour in ((0.14, "base", "#767676"), (-0.14, "tuned", "#0b5fa5")):
        for place, name in enumerate(reversed(LABELS)):
            rate = numbers[side][name]
            low, high = (100 * rate[end] for end in ("low", "high"))
            label = side if place == 0 else None
            axes.plot([low, high], [place + offset] * 2, color=colour, linewidth=2, label=label)
            axes.plot(100 * rate["value"], place + offset, "o", color=colour, markersize=5)
    axes.set_yticks(range(len(LABELS)), list(reversed(LABELS.values())))
    axes.set_xlabel(f"percent of {numbers['n']:,} questions, with 95% intervals")
    axes.set_xlim(-2, 102)
    axes.set_ylim(-0.5, len(LABELS) - 0.5)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper right", ncols=2, frameon=False)
    return _svg(figure)


def _plot_reward(metrics: list[dict[str, Any]]) -> str:
    figure, axes = _axes(2.8)
    points = [(row["step"], row["reward"], row.get("reward_std")) for row in metrics if row.get("reward") is not None]
    steps, means, spreads = zip(*points, strict=True) if points else ((), (), ())
    axes.plot(steps, means, color="#0b5fa5", linewidth=1.5)
    if points and None not in spreads:
        low, high = zip(*((m - s, m + s) for m, s in zip(means, spreads, strict=True)), strict=True)
        axes.fill_between(steps, low, high, color="#0b5fa5", alpha=0.15, linewidth=0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("step")
    axes.set_ylabel("mean reward ± SD in a group")
    axes.grid(alpha=0.3)
    return _svg(figure)


def main(argv: list[str] | None = None) -> int:
    parser = Parser(prog="python -m harness.report", description=__doc__.split("\n\n")[0])
    parser.add_argument("run", type=Path, help="run directory")
    args = parser.parse(argv)
    run = rundir.existing(args.run)
    with rundir.lock(run.path):
        write(run)
    show(run)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
