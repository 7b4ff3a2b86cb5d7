"""A run's stored completions, scored again by the current scorer, against the golds of its result.json."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.config import plugins
from harness.evaluate import learning_curve
from harness.report import write
from harness.runs import curve, provenance, results, seals
from harness.runs.comparable import check_contrast, check_pair, read_choice
from harness.runs.completions import Asked
from harness.runs.directory import RunDir
from harness.runs.results import Evaluation, ScoredCompletion
from harness.stats.scores import QUANTITIES
from harness.tasks import dataset
from harness.tasks.records import Problem
from harness.util.console import say
from harness.util.errors import HarnessError
from harness.util.text import quoted


def rescore(run: RunDir) -> None:
    """Score every evaluation of a run, write what changed, and the report. The caller holds the run's lock.

    Raises HarnessError, with nothing written, if the run is not finished, if completions are missing or answer other
    prompts, if the golds are not the data's, and if the learning curve would now choose another adapter than the one
    that was evaluated.
    """
    seals.check(run, redrawn=True, remade=True)
    if not run.is_evaluated:
        raise HarnessError(f"{run.path}: not finished; python -m harness.run {quoted(run.path)} resumes it")
    trained = [(arm, seed) for arm in run.arms for seed in run.config.train.seeds]
    sides = {"base": run.base} | {f"tuned ({arm.label(seed)})": arm.tuned(seed) for arm, seed in trained}
    owners = dict.fromkeys(sides, run)  # the run as each side's task sees it
    for each in run.further:
        base, tuned = (
            f"base, {each.task}",
            {f"tuned (seed {s}), {each.task}": each.tuned(s) for s in each.config.train.seeds},
        )
        sides |= {base: each.base} | tuned
        owners |= dict.fromkeys((base, *tuned), each)
    if (run.again / "result.json").exists():
        sides["base again"] = run.again
    seeds = [seed for seed in run.config.train.seeds if (run.curve(seed) / curve.NAME).exists()]
    curves = {seed: learning_curve.folders(run, seed) for seed in seeds}
    named = {f"curve (seed {s}, step {n})": folder for s in seeds for n, folder in curves[s].items()}
    # Which prompt was chosen on dev stays as it was: test was asked with that one.
    elicited = {"elicited base": run.elicited} if (run.elicited / "result.json").exists() else {}
    folders = sides | elicited | named
    before = {what: results.read_earlier(folder) for what, folder in folders.items()}
    after = {what: _scored(owners.get(what, run), folder, before[what]) for what, folder in folders.items()}
    if elicited:
        check_contrast(run, after["base"], after["elicited base"], read_choice(run))
    for what in sides:
        task = owners.get(what, run).task
        check_pair(
            run, after[f"base, {task}" if task else "base"], after[what], "again" if what == "base again" else "tuned"
        )
    for seed in seeds:
        _same_choice(run, seed, {step: after[f"curve (seed {seed}, step {step})"] for step in curves[seed]})
    changed = {(before[what].conditions.scorer, after[what].conditions.scorer) for what in folders}
    for then, now in sorted(pair for pair in changed if pair[0] != pair[1]):
        say(f"Scorer version: {then} then, {now} now.")
    for what, folder in folders.items():
        say(f"{what}: {changes(before[what].scores, after[what].scores)}")
        seals.write_result(run, folder, after[what], made_from=[run.choice] if what in elicited else [])
    for seed in seeds:
        learning_curve.write(run, seed)
    if before != after:
        run.note("made_with", {"scoring anew": provenance.made_with()})
    write.write(run)


def _same_choice(run: RunDir, seed: int, sides: Mapping[int, Evaluation]) -> None:
    evaluated = curve.read(run.curve(seed)).chosen
    if (chosen := learning_curve.drawn(run.config, sides).chosen) != evaluated:
        raise HarnessError(
            f"{run.path}: with the current scorer the learning curve of seed {seed} chooses step {chosen}, but step "
            f"{evaluated} was evaluated; delete curve/seed-{seed}/curve.json and tuned/seed-{seed}, and run again"
        )


def changes(before: Sequence[ScoredCompletion], after: Sequence[ScoredCompletion]) -> str:
    """How the scores of the same completions changed, in words; both in the same order."""
    pairs = list(zip(before, after, strict=True))
    verdicts = {
        name: [(getattr(old, quantity.score), getattr(new, quantity.score)) for old, new in pairs]
        for name, quantity in QUANTITIES.items()
        if name != "marked"  # it follows from the rule and the answer, and older scorers did not record it
    }
    judged_again = [any(then != now for then, now in each) for each in zip(*verdicts.values(), strict=True)]
    read_again = [(old.answer, old.rule, old.why) != (new.answer, new.rule, new.why) for old, new in pairs]
    judged = sum(judged_again)
    read = sum(changed and not verdict for changed, verdict in zip(read_again, judged_again, strict=True))
    others = f"; for {read:,} others only the answer, the rule or the reason did" if read else ""
    if not judged:
        return f"none of {len(pairs):,} verdicts changed{others}."
    counts = []
    for name, each in verdicts.items():
        gained, lost = each.count((False, True)), each.count((True, False))
        if gained or lost:
            counts.append(f"{name} +{gained} −{lost}")
    return f"{judged:,} of {len(pairs):,} verdicts changed ({', '.join(counts)}){others}."


def _scored(run: RunDir, folder: Path, stored: Evaluation) -> Evaluation:
    """The evaluation of the completions in a folder by the current scorer."""
    task, samples = plugins.task(run.config), run.config.eval.samples
    asked = [Asked(s.id, s.gold, s.prompt) for s in stored.scores[::samples]]
    expected = [(question.id, sample) for question in asked for sample in range(samples)]
    data = dataset.content_hash(Problem(question.id, "", question.gold) for question in asked)
    if data != stored.conditions.data or expected != [(s.id, s.sample) for s in stored.scores]:
        raise HarnessError(
            f"{folder / 'result.json'}: its questions and golds are not those that were asked; delete it and run the "
            f"experiment again"
        )
    tags = run.config.prompt.tags.record()
    return dataclasses.replace(
        stored,
        conditions=dataclasses.replace(stored.conditions, scorer=task.scorer),
        selftest=results.run_selftest(task, asked, tags),
        scores=results.score(task, folder / "samples.jsonl", asked, samples, tags),
    )
