"""From the evaluations of a run to the numbers of its report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.config import plugins
from harness.report import scorer_panel, verdict
from harness.report.sections import tasks as tasks_section
from harness.report.summary import (
    REWARD_SHARE,
    Against,
    AtK,
    Control,
    Curves,
    Decomposition,
    Elicited,
    Ends,
    FloorRecord,
    Flow,
    Flows,
    Identity,
    KindGain,
    Newly,
    NoiseFloor,
    OfSamples,
    Panel,
    Parts,
    Rates,
    RuleCounts,
    ScorerView,
    SeedSummary,
    Side,
    Summary,
    TaskGain,
    TaskSummary,
    Training,
    Transfer,
    Truncation,
    TunedSide,
)
from harness.report.wording import against_control
from harness.runs import comparable, curve, proof, training
from harness.runs.comparable import check_pair
from harness.runs.curve import Curve
from harness.runs.directory import RunDir
from harness.runs.proof import Proof
from harness.runs.results import Evaluation, ScoredCompletion, read_evaluation
from harness.runs.training import ROLLOUT, Watched
from harness.stats import decomposition, drift, finding, pass_at_k, seeds, sensitivity, transfer
from harness.stats.paired_tests import holm
from harness.stats.records import Compared, Difference
from harness.stats.scores import COMPARED, QUANTITIES, Columns, means, per_question, rate
from harness.stats.transfer import Gain, GainDifference
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
    after = _together(each)
    differences, parts = finding.differences(before, after), _parts(before, after)
    truncation = _truncation(base.scores, before, sides, after)
    scorers = _scorers(run, base.scores, sides, after["accuracy"] - before["accuracy"])
    trainings = [_training(run, seed) for seed in trained]
    marked = (float(before["marked"].mean()), float(after["marked"].mean()))
    found = verdict.judge(
        differences, parts, truncation, marked, scorers, trainings, all(_same(base.scores, side) for side in sides)
    )
    adapters = tuple(result.adapter for result in tuned)
    return Summary(
        name=run.config.name,
        digest=run.config.digest(),
        identity=Identity.of(run),
        n=n,
        samples=count,
        conditions=base.conditions,
        base_weights=run.read_manifest().inputs.get("base weights"),
        problems=base.problems,
        selftest=base.selftest,
        base=_side([base.scores], before, count),
        tuned=TunedSide(**typed.fields(_side(sides, after, count)), adapter=adapters if adapters[1:] else adapters[0]),
        difference=differences,
        decomposition=Decomposition(
            **typed.fields(parts),
            sentence=found.parts(),
            flows=_flows(base.scores, sides),
            by_rule=_by_rule(base.scores, sides),
        ),
        verdict=verdict.record(found),
        truncation=truncation,
        panel=Panel(scorers=scorers, sentence=found.panel()),
        train=trainings[0],
        proof=_proof(run, trained[0]),
        noise_floor=_noise_floor(run, base, before) if (run.again / "result.json").exists() else None,
        elicited=_elicited(run, base, before, after) if (run.elicited / "result.json").exists() else None,
        curve=_curves(run),
        of_samples=_of_samples(base.scores, sides, count) if count > 1 else None,
        curves=_pass_at_k(run, base.scores, sides) if count > 1 else None,
        seeds=tuple(map(partial(_seed, run, before), trainings, each)) if len(sides) > 1 else None,
        transfer=_transfer(run) if run.config.eval.tasks[1:] else None,
        control=_control(run.control, base, before, after) if run.control else None,
    )


def _together(each: list[Columns]) -> Columns:
    """The scores of one training, or with a row for each of several."""
    return each[0] if len(each) == 1 else {name: np.stack([side[name] for side in each]) for name in each[0]}


def _control(arm: RunDir, base: Evaluation, before: Columns, after: Columns) -> Control:
    """The control's trainings; before, after: the scores of the base and of the tuned models."""
    trained, reward = arm.config.train.seeds, arm.config.rewards.control
    sides = [read_evaluation(arm.tuned(seed)) for seed in trained]
    for side in sides:
        check_pair(arm, base, side)
    own = _together([per_question(side.scores) for side in sides])
    difference = Compared(*(finding.record(seeds.by_seed(own[name], after[name])) for name in COMPARED))
    gain = finding.differences(before, own)
    return Control(
        reward=reward,
        tuned=_rates(own, arm.config.eval.samples),
        gain=gain,
        difference=difference,
        train=tuple(_training(arm, seed) for seed in trained),
        sentence=against_control(reward, difference.accuracy, gain.accuracy),
    )


def _curves(run: RunDir) -> dict[str, Curve] | None:
    folders = {seed: run.curve(seed) for seed in run.config.train.seeds}
    if not any((folder / curve.NAME).exists() for folder in folders.values()):
        return None
    return {str(seed): curve.read(folder) for seed, folder in folders.items()}


def _seed(run: RunDir, before: Columns, trained: Training, own: Columns) -> SeedSummary:
    return SeedSummary(
        seed=trained.seed,
        tuned=_rates(own, run.config.eval.samples),
        difference=finding.differences(before, own),
        decomposition=_parts(before, own),
        train=trained,
        proof=_proof(run, trained.seed),
    )


class _Scored(NamedTuple):
    """One task's evaluations."""

    run: RunDir  # as the task sees it
    base: Evaluation
    tuned: list[Evaluation]  # by training seed

    def compared(self, ids: set[str] | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
        """Accuracy of base, shape (n,), and of tuned, (n,) or (s, n), and the questions' ids; of these ids alone."""
        sides = [
            [score for score in side.scores if ids is None or score.id in ids] for side in (self.base, *self.tuned)
        ]
        before, *each = [per_question(side)["accuracy"] for side in sides]
        return before, each[0] if len(each) == 1 else np.stack(each), list(dict.fromkeys(s.id for s in sides[0]))


def _transfer(run: RunDir) -> Transfer:
    """The gain on every task, and what may be said of it against the first task's."""
    scored = []
    for each in (run, *run.further):
        base, tuned = read_evaluation(each.base), [read_evaluation(each.tuned(s)) for s in run.config.train.seeds]
        for result in tuned:
            check_pair(each, base, result)
        scored.append(_Scored(each, base, tuned))
    gains = [_gain(each) for each in scored]
    differences = [transfer.against(gains[0], gain) for gain in gains[1:]]
    own = holm([gain.p for gain in gains[1:]])
    other = holm([each.p for each in differences])
    tasks = [_task(scored[0], gains[0], len(differences), None, None)]
    for at, against in enumerate(differences):
        record = Against(**typed.fields(against), p_holm=other[at])
        tasks.append(_task(scored[at + 1], gains[at + 1], len(differences), own[at], record))
    return Transfer(tasks=tuple(tasks), sentence=tasks_section.sentence(tasks_section.named(tasks, Identity.of(run))))


def _gain(scored: _Scored) -> Gain:
    before, after, ids = scored.compared()
    clusters = scored.base.benchmark and scored.base.benchmark.clusters
    return transfer.gain(before, after, [clusters[key] or key for key in ids] if clusters else None)


def _task(scored: _Scored, gain: Gain, tests: int, p_holm: float | None, against: Against | None) -> TaskSummary:
    task, known = plugins.task(scored.run.config), scored.base.benchmark
    shared = {f.name: getattr(gain, f.name) for f in fields(TaskGain) if f.name not in ("se", "p_holm")}
    found = None
    if against:
        difference = GainDifference(against.value, against.low, against.high, against.p)
        found = transfer.verdict(gain, p_holm, difference, against.p_holm)
    sides = (scored.base.scores, [score for side in scored.tuned for score in side.scores])
    late = tuple(sum(score.why == task.timed_out for score in side) for side in sides) if task.timed_out else None
    return TaskSummary(
        name=task.name,
        hub=task.hub,
        revision=task.revision,
        licence=task.licence,
        data=scored.base.conditions.data,
        overlap=task.overlap,
        left_out=known.left_out if known else {},
        gain=TaskGain(**shared, se=gain.questions.se, p_holm=p_holm),
        against=against,
        verdict=found,
        detectable=transfer.detectable(gain, tests) if against else None,
        time_outs=late,
        kinds=_kinds(scored) if known and known.kinds else None,
    )


def _kinds(scored: _Scored) -> tuple[KindGain, ...]:
    """The gain on each kind of questions; over several trainings a difference takes at least two of them."""
    kinds: dict[str, set[str]] = {}
    for key, kind in scored.base.benchmark.kinds.items():
        kinds.setdefault(kind, set()).add(key)
    fewest = min(2, len(scored.tuned))
    asked = [kind for kind in sorted(kinds) if len(kinds[kind]) >= fewest]
    return tuple(KindGain(kind, _difference(*scored.compared(kinds[kind])[:2])) for kind in asked)


def _difference(first: NDArray[np.float64], second: NDArray[np.float64]) -> Difference:
    return finding.record(seeds.difference(first, second))


def _rates(columns: Columns, count: int) -> Rates:
    return Rates(**{name: rate(columns[name], count) for name in QUANTITIES})


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


def _same(base: Scores, tuned: Scores) -> bool:
    """Whether every completion is judged as the base's, with the same answer and length."""
    return all(replace(new, prompt=old.prompt) == old for old, new in zip(base, tuned, strict=True))


def _parts(before: Columns, after: Columns) -> Parts:
    found = decomposition.decompose(before, after)
    return Parts(**{name: finding.record(part) for name, part in found._asdict().items()})


STANDINGS = ("marked", "unmarked", "none", "cut")


def _standing(score: ScoredCompletion) -> str:
    """How an answer stands in its completion: one of STANDINGS."""
    if score.finish_reason == "length":
        return "cut"
    return "marked" if score.marked else "none" if score.answer is None else "unmarked"


def _flows(base: Scores, sides: list[Scores]) -> Flows:
    """Which questions were gained and lost, by how both answers stood."""
    before, after = _standings(base), [_standings(side) for side in sides]

    def count(way: str, wrong: str, right: str) -> int | float:
        pairs = [(before, each) if way == "gained" else (each, before) for each in after]
        return _counted(sum(lost[wrong, False] @ won[right, True] for lost, won in pairs) / len(pairs))

    ways = [(way, right) for way in ("gained", "lost") for right in ("marked", "unmarked")]
    return Flows(
        **{wrong: Flow(**{f"{way}_{right}": count(way, wrong, right) for way, right in ways}) for wrong in STANDINGS}
    )


def _standings(scores: Scores) -> dict[tuple[str, bool], NDArray[np.float64]]:
    """The share of each question's samples that stand so and are right or wrong, shape (n,)."""
    stood = [(_standing(score), score.correct) for score in scores]
    kinds = [(standing, correct) for standing in STANDINGS for correct in (False, True)]
    return {kind: means(scores, [each == kind for each in stood]) for kind in kinds}


def _counted(value: float) -> int | float:
    """A number of questions: whole, or a mean of samples or seeds."""
    nearest = round(value)
    return nearest if abs(value - nearest) < 1e-9 else float(value)


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
        lowest=finding.record(found.lowest),
        highest=finding.record(found.highest),
    )


def _scorers(run: RunDir, base: Scores, sides: list[Scores], ours: NDArray[np.float64]) -> tuple[ScorerView, ...]:
    """Both sides under the published scorers; ours: the differences of accuracy, question by question."""
    completed = scorer_panel.completed(base, run.base / "samples.jsonl")
    tuned = [
        scorer_panel.completed(scores, run.tuned(seed) / "samples.jsonl")
        for seed, scores in zip(run.config.train.seeds, sides, strict=True)
    ]
    return scorer_panel.compare(
        completed, tuned, ours, run.config.prompt.tags.record(), plugins.task(run.config).scorers
    )


def _noise_floor(run: RunDir, base: Evaluation, before: Columns) -> NoiseFloor:
    """The base against itself, evaluated again."""
    again = read_evaluation(run.again)
    check_pair(run, base, again, "again")
    after = per_question(again.scores)
    return NoiseFloor(changed=again.changed, **{name: _floor(before[name], after[name]) for name in COMPARED})


def _elicited(run: RunDir, base: Evaluation, before: Columns, after: Columns) -> Elicited:
    """The base with another prompt, between the base and the tuned model."""
    choice, found = comparable.read_choice(run), read_evaluation(run.elicited)
    comparable.check_contrast(run, base, found, choice)
    between = per_question(found.scores)["accuracy"]
    return Elicited(
        choice=choice,
        accuracy=rate(between, run.config.eval.samples),
        prompting=_difference(before["accuracy"], between),
        training=_difference(between, after["accuracy"]),
    )


def _floor(first: NDArray[np.float64], again: NDArray[np.float64]) -> FloorRecord:
    found = sensitivity.noise_floor(first, again)
    difference = finding.record(found.difference)
    return FloorRecord(**typed.fields(found) | {"difference": difference}, sentence=found.sentence())


def _of_samples(base: Scores, sides: list[Scores], count: int) -> tuple[OfSamples, ...]:
    """pass^K and maj@K of K samples per question, and their paired differences."""
    scores: dict[str, list[NDArray[np.float64]]] = {}
    for answers, right in (_by_question(side) for side in (base, *sides)):
        counts = np.array([sum(group) for group in right])
        scores.setdefault(f"pass^{count}", []).append(pass_at_k.pass_hat_k(counts, count, count))
        scores.setdefault(f"maj@{count}", []).append(pass_at_k.majority(answers, right))
    found = []
    for name, (before, *each) in scores.items():
        after = each[0] if len(each) == 1 else np.stack(each)
        difference = _difference(before, after)
        found.append(OfSamples(name=name, base=rate(before, count), tuned=rate(after, count), difference=difference))
    return tuple(found)


def _right(scores: Scores) -> NDArray[np.bool_]:
    """Whether each answer to each question is right, shape (n, K)."""
    return np.array(_by_question(scores)[1])


def _pass_at_k(run: RunDir, base: Scores, sides: list[Scores]) -> Curves:
    """pass@k for every k with its band, and the questions newly solved and lost beside what chance makes of them."""
    count, before, each = run.config.eval.samples, _right(base), [_right(side) for side in sides]
    counts, after = before.sum(axis=1), np.stack(each).sum(axis=2)
    band = pass_at_k.band(counts, after if len(each) > 1 else after[0], count)
    first = pass_at_k.curve(counts, count).mean(axis=0)
    second = np.mean([pass_at_k.curve(side, count).mean(axis=0) for side in after], axis=0)
    rows = zip(first, second, band.estimate, band.low, band.high, strict=True)
    at = (
        AtK(k=k, base=float(b), tuned=float(t), difference=d, low=low, high=high)
        for k, (b, t, d, low, high) in enumerate(rows, 1)
    )
    again = _right(read_evaluation(run.again).scores) if (run.again / "result.json").exists() else None
    return Curves(critical=band.critical, at=tuple(at), newly=_newly(before, each, again))


def _newly(before: NDArray[np.bool_], each: list[NDArray[np.bool_]], again: NDArray[np.bool_] | None) -> Newly:
    def solved_only(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> int:
        return int((~first.any(axis=1) & second.any(axis=1)).sum())

    n, half = len(before), before.shape[1] // 2
    by_chance = pass_at_k.newly_solved(before, before, half)
    solved = np.stack([pass_at_k.newly_solved(before, after, half) for after in each])
    lost = np.stack([pass_at_k.newly_solved(after, before, half) for after in each])
    beyond = [_difference(by_chance, found if len(each) > 1 else found[0]) for found in (solved, lost)]
    return Newly(
        solved=_counted(float(np.mean([solved_only(before, after) for after in each]))),
        lost=_counted(float(np.mean([solved_only(after, before) for after in each]))),
        drawn=half,
        solved_of_drawn=float(n * solved.mean()),
        lost_of_drawn=float(n * lost.mean()),
        by_chance=float(by_chance.sum()),
        solved_beyond=beyond[0],
        lost_beyond=beyond[1],
        again_solved=None if again is None else solved_only(before, again),
        again_lost=None if again is None else solved_only(again, before),
    )


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
        yield _counted(count / len(sides))


def _training(run: RunDir, seed: int) -> Training:
    # Only steps that begin with a rollout log a reward; with num_iterations, others learn from it again.
    logged = training.read_metrics(training.metrics_log(run.train(seed)))
    rollouts = [row.numbers for row in logged if "reward" in row.numbers]
    rewards = [row["reward"] for row in rollouts if row["reward"] is not None]
    watched, steps = Watched(logged), run.steps(seed)
    judged = {name: [row[f"{ROLLOUT}{name}"] for row in rollouts if f"{ROLLOUT}{name}" in row] for name in QUANTITIES}
    shares = {name: _ends(values) for name, values in judged.items() if values}
    paid = _ends(rewards) if rewards else None
    disagree = {
        name: float(np.mean([row[f"profiles_disagree/{name}"] for row in rollouts]))
        for name in ("format", "answer")
        if rollouts
    }
    return Training(
        seed=seed,
        steps=steps,
        asked=run.config.train.steps if steps < run.config.train.steps else None,
        completions=len(rollouts) * run.config.completions_per_step,
        dropped_prompts=len(training.read_dropped(run.train(seed)).dropped),
        reward_first=paid and paid.first,
        reward_last=paid and paid.last,
        profiles_disagree=disagree,
        rollouts=shares or None,
        reward_rose=drift.rose(rewards, run.config.rollouts) if shares else None,
        drift=watched.drift(run.config.rollouts),
    )


def _ends(values: list[float]) -> Ends:
    """The means of the first and of the last REWARD_SHARE of the steps."""
    count = max(1, round(len(values) * REWARD_SHARE))
    return Ends(float(np.mean(values[:count])), float(np.mean(values[-count:])))


def _proof(run: RunDir, seed: int) -> Proof:
    return proof.read(run.tuned(seed), full=run.config.model.full_finetuning)
