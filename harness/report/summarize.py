"""From the evaluations of a run to the numbers of its report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from harness.config import plugins
from harness.report import scorer_panel
from harness.report.summary import (
    REWARD_SHARE,
    Decomposition,
    Ends,
    FloorRecord,
    NoiseFloor,
    OfSamples,
    Panel,
    Parts,
    Rates,
    RuleCounts,
    SeedSummary,
    Side,
    Summary,
    Training,
    Truncation,
    TunedSide,
    VerdictRecord,
)
from harness.runs import curve, proof, training
from harness.runs.comparable import check_pair
from harness.runs.curve import Curve
from harness.runs.directory import RunDir
from harness.runs.proof import Proof
from harness.runs.results import Evaluation, ScoredCompletion, read_evaluation
from harness.runs.training import ROLLOUT, Watched
from harness.stats import drift, paired, pass_at_k, seeds, sensitivity, verdict
from harness.stats.records import Compared, Difference
from harness.stats.scores import COMPARED, QUANTITIES, Columns, means, per_question, rate
from harness.util import typed
from harness.util.errors import HarnessError

RULES = ("solution", "phrase", "boxed", "hashes", "last_number")

Scores = Sequence[ScoredCompletion]


def summarize(run: RunDir) -> Summary:
    """Pair the evaluations of a run and compute every number of its report.

    Raises HarnessError if they are not comparable: different questions, prompts or settings.
    """
    trained, count = run.config.train.seeds, run.config.eval.samples
    base, tuned = read_evaluation(run.base), [read_evaluation(run.tuned(seed)) for seed in trained]
    for result in tuned:
        check_pair(run, base, result)
    before, each = per_question(base.scores), [per_question(result.scores) for result in tuned]
    n, sides = len(before["accuracy"]), [result.scores for result in tuned]
    if len(tuned) > 1 and n < 2:
        raise HarnessError(f"{run.path}: several training seeds need at least 2 questions to compare; see eval.limit")
    after = each[0] if len(each) == 1 else {name: np.stack([side[name] for side in each]) for name in QUANTITIES}
    differences = verdict.differences(before, after)
    parts = _parts(before, after, differences)
    adapters = tuple(result.adapter for result in tuned)
    return Summary(
        name=run.config.name,
        digest=run.config.digest(),
        n=n,
        samples=count,
        conditions=base.conditions,
        base_weights=run.read_manifest().inputs.get("base weights"),
        problems=base.problems,
        selftest=base.selftest,
        base=_side([base.scores], before, count),
        tuned=TunedSide(**typed.fields(_side(sides, after, count)), adapter=adapters if adapters[1:] else adapters[0]),
        difference=differences,
        decomposition=Decomposition(**typed.fields(parts), by_rule=_by_rule(base.scores, sides)),
        verdict=_verdict(differences, base.scores, sides),
        truncation=_truncation(base.scores, before, sides, after),
        panel=_panel(run, base.scores, sides[0]),
        train=_training(run, trained[0]),
        proof=_proof(run, trained[0]),
        noise_floor=_noise_floor(run, base, before) if (run.again / "result.json").exists() else None,
        curve=_curves(run),
        of_samples=_of_samples(base.scores, sides, count) if count > 1 else None,
        seeds=tuple(_seed(run, before, *own) for own in zip(trained, each, strict=True)) if len(sides) > 1 else None,
    )


def _curves(run: RunDir) -> dict[str, Curve] | None:
    folders = {seed: run.curve(seed) for seed in run.config.train.seeds}
    if not any((folder / curve.NAME).exists() for folder in folders.values()):
        return None
    return {str(seed): curve.read(folder) for seed, folder in folders.items()}


def _seed(run: RunDir, before: Columns, seed: int, own: Columns) -> SeedSummary:
    differences = verdict.differences(before, own)
    return SeedSummary(
        seed=seed,
        tuned=_rates(own, run.config.eval.samples),
        difference=differences,
        decomposition=_parts(before, own, differences),
        train=_training(run, seed),
        proof=_proof(run, seed),
    )


def _difference(first: NDArray[np.float64], second: NDArray[np.float64]) -> Difference:
    return verdict.record(seeds.difference(first, second))


def _rates(columns: Columns, count: int) -> Rates:
    return Rates(**{name: rate(values, count) for name, values in columns.items()})


def _side(sides: list[Scores], columns: Columns, count: int) -> Side:
    """Rates, and counts of the completions: those of all seeds together if there are several."""
    scores = [score for side in sides for score in side]
    return Side(
        **typed.fields(_rates(columns, count)),
        completions=len(scores),
        truncated=sum(score.finish_reason == "length" for score in scores),
        unparsed=sum(score.answer is None for score in scores),
        mean_tokens=sum(score.tokens for score in scores) / len(scores),
    )


def _verdict(differences: Compared, base: Scores, sides: list[Scores]) -> VerdictRecord:
    accuracy, form = verdict.of(differences.accuracy), verdict.of(differences.format)
    fields = [QUANTITIES[name].score for name in COMPARED]
    identical = all(
        getattr(old, field) == getattr(new, field)
        for side in sides
        for old, new in zip(base, side, strict=True)
        for field in fields
    )
    return VerdictRecord(
        kind=accuracy.kind,
        direction=accuracy.direction,
        detectable=accuracy.detectable,
        one_way=accuracy.one_way,
        discordance=accuracy.discordance,
        discordance_high=accuracy.discordance_high,
        sentence=str(verdict.opening(accuracy, form, identical)),
        identical=identical,
    )


def _parts(before: Columns, after: Columns, differences: Compared) -> Parts:
    """The change of strict accuracy as mathematics + format, exactly; `where_both_comply` only for a single seed."""
    costs = [side["strict"] - side["accuracy"] for side in (before, after)]
    both_comply = where_both_comply = None
    if after["accuracy"].ndim == 1:
        flags = [paired.Flags(side["accuracy"], side["strict"], side["format"]) for side in (before, after)]
        found = paired.decompose(*flags)
        strict, mathematics, form = map(verdict.record, (found.strict, found.mathematics, found.format))
        both_comply = found.both_comply
        where_both_comply = verdict.record(found.where_both_comply) if found.where_both_comply else None
    else:
        strict, mathematics = differences.strict, differences.accuracy
        form = _difference(*costs)
    # Half of format minus mathematics, question by question: in [-1, 1], and 0 if the two are equal.
    halves = [(cost - side["accuracy"]) / 2 for cost, side in zip(costs, (before, after), strict=True)]
    larger = verdict.larger_part(mathematics, form, _difference(*halves))
    return Parts(
        mathematics=mathematics,
        format=form,
        both_comply=both_comply,
        where_both_comply=where_both_comply,
        larger=larger,
        sentence=verdict.parts(strict, mathematics, form, larger),
    )


def _cut(scores: Scores) -> NDArray[np.float64]:
    return means(scores, [score.finish_reason == "length" for score in scores])


def _truncation(base: Scores, before: Columns, sides: list[Scores], after: Columns) -> Truncation:
    cut = np.stack([_cut(side) for side in sides])
    found = sensitivity.truncation_bounds(
        before["accuracy"], _cut(base), after["accuracy"], cut if len(sides) > 1 else cut[0]
    )
    return Truncation(
        base_cut=found.base_cut,
        tuned_cut=found.tuned_cut,
        lowest=verdict.record(found.lowest),
        highest=verdict.record(found.highest),
        sign_holds=found.sign_holds,
    )


def _panel(run: RunDir, base: Scores, tuned: Scores) -> Panel:
    """The scorer panel's view of the base and of the first seed's model."""
    folders = {run.base: base, run.tuned(run.config.train.seeds[0]): tuned}
    completed = [scorer_panel.completed(scores, folder / "samples.jsonl") for folder, scores in folders.items()]
    return scorer_panel.compare(*completed, run.config.prompt.tags.record(), plugins.task(run.config).scorers)


def _noise_floor(run: RunDir, base: Evaluation, before: Columns) -> NoiseFloor:
    """The base against itself, evaluated again."""
    again = read_evaluation(run.again)
    check_pair(run, base, again, "again")
    after = per_question(again.scores)
    return NoiseFloor(changed=again.changed, **{name: _floor(before[name], after[name]) for name in COMPARED})


def _floor(first: NDArray[np.float64], again: NDArray[np.float64]) -> FloorRecord:
    found = sensitivity.noise_floor(first, again)
    difference = verdict.record(found.difference)
    return FloorRecord(**typed.fields(found) | {"difference": difference}, sentence=found.sentence())


def _of_samples(base: Scores, sides: list[Scores], count: int) -> tuple[OfSamples, ...]:
    """pass@k for k = 1, 2, 4, … and K, pass^K and maj@K of K samples per question, and their paired differences."""
    sizes = sorted({1 << i for i in range(count.bit_length()) if 1 << i < count} | {count})
    grouped = [_by_question(side) for side in (base, *sides)]
    scores: dict[str, list[NDArray[np.float64]]] = {}
    for answers, right in grouped:
        counts = np.array([sum(group) for group in right])
        for k in sizes:
            scores.setdefault(f"pass@{k}", []).append(pass_at_k.pass_at_k(counts, count, k))
        scores.setdefault(f"pass^{count}", []).append(pass_at_k.pass_hat_k(counts, count, count))
        scores.setdefault(f"maj@{count}", []).append(pass_at_k.majority(answers, right))
    found = []
    for name, (before, *each) in scores.items():
        after = each[0] if len(each) == 1 else np.stack(each)
        difference = _difference(before, after)
        found.append(OfSamples(name=name, base=rate(before, count), tuned=rate(after, count), difference=difference))
    return tuple(found)


def _by_question(scores: Scores) -> tuple[list[list[str | None]], list[list[bool]]]:
    """The answers to each question and whether they are right; None for one that was cut, which always is wrong."""
    questions: dict[str, list[ScoredCompletion]] = {}
    for score in scores:
        questions.setdefault(score.id, []).append(score)
    groups = questions.values()
    answers = [[None if s.finish_reason == "length" else s.answer for s in group] for group in groups]
    return answers, [[s.correct for s in group] for group in groups]


def _by_rule(base: Scores, sides: list[Scores]) -> dict[str, RuleCounts]:
    """How many completions each extraction rule decided, and how many of those were right; over seeds, the mean."""
    table = {}
    for rule in (*RULES, None):
        counts = RuleCounts(*_decided(rule, [base]), *_decided(rule, sides))
        if counts.base or counts.tuned:
            table[rule or "none"] = counts
    return table


def _decided(rule: str | None, sides: list[Scores]) -> Iterator[int | float]:
    decided = [score for scores in sides for score in scores if score.rule == rule]
    for count in (len(decided), sum(score.correct for score in decided)):
        mean = count / len(sides)
        yield int(mean) if mean == int(mean) else mean


def _training(run: RunDir, seed: int) -> Training:
    # Only steps that begin with a rollout have rewards; with num_iterations, others learn from it again.
    logged = training.read_metrics(training.metrics_log(run.train(seed)))
    rollouts = [row.numbers for row in logged if row.numbers.get("reward") is not None]
    rewards = [row["reward"] for row in rollouts]
    ends = max(1, round(len(rewards) * REWARD_SHARE))
    watched = Watched(logged)
    judged = {name: [row[f"{ROLLOUT}{name}"] for row in rollouts if f"{ROLLOUT}{name}" in row] for name in QUANTITIES}
    shares = {name: Ends(float(np.mean(s[:ends])), float(np.mean(s[-ends:]))) for name, s in judged.items() if s}
    disagree = {
        name: float(np.mean([row[f"profiles_disagree/{name}"] for row in rollouts]))
        for name in ("format", "answer")
        if rollouts
    }
    return Training(
        seed=seed,
        steps=run.config.train.steps,
        completions=len(rollouts) * run.config.completions_per_step,
        dropped_prompts=len(training.read_dropped(run.train(seed)).dropped),
        reward_first=float(np.mean(rewards[:ends])) if rewards else None,
        reward_last=float(np.mean(rewards[-ends:])) if rewards else None,
        profiles_disagree=disagree,
        rollouts=shares or None,
        reward_rose=drift.rose(rewards) if shares else None,
        drift=watched.drift(run.config.rollouts),
    )


def _proof(run: RunDir, seed: int) -> Proof:
    return proof.read(run.tuned(seed), full=run.config.model.full_finetuning)
