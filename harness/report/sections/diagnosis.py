"""Why no difference was detected: one sentence, from what was measured in the trainings, and from nothing else.

A cause is named where its number is beyond a limit in every training; numbers are means over the trainings. An adapter
that was not applied is no cause that can stand here: the adapter proof ends such a run before it has a tuned score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from harness.config.schema import Config
from harness.report import verdict
from harness.report.summary import REWARD_SHARE, Summary
from harness.runs.directory import RunDir
from harness.runs.proof import Proof, WeightsProof
from harness.runs.training import EQUAL_GROUPS, UNREWARDED, Numbers, metrics_log, read_metrics
from harness.stats.finding import in_points, of
from harness.stats.intervals import ALPHA, NORMAL
from harness.stats.records import SeedsRecord
from harness.stats.scores import COMPARED
from harness.stats.seeds import quantile
from harness.util.text import plural

UNPAID = 0.9  # share of completions: above it, under a tenth of them could teach anything
EQUAL = 0.9  # share of groups: above it, under a tenth of what was sampled teaches anything
CUT = 0.9  # share of completions: above it, under a tenth of them came to their answer
CHOICES = 2.0  # completions: exp of a whole one's entropy, so with fewer a group is nearly always the same text
PULL = 1.0  # beta times KL in advantages' standard deviations: from there the penalty is as large as what is to be won
# Nats: below it a token's probability changes by under 1%, and greedy decoding hardly ever chooses another.
MOVED = 0.01
CHANGED = 0.01  # share of all weights that differ in the evaluation's precision: below it rounding took nearly all
WIDE = 0.02  # upper end of the interval, from which it hides gains of the size that is usually reported


@dataclass(frozen=True)
class Measured:
    """One training; None: not logged."""

    steps: int  # after which the evaluated adapter was saved
    unrewarded: float | None  # share of completions without any reward
    equal: float | None  # share of groups without two rewards that differ
    cut: float | None  # share of completions cut at the token limit
    entropy: float | None  # nats a token, over the last REWARD_SHARE of the steps
    length: float | None  # tokens a completion, over the same steps
    kl: float | None  # nats a token from the base, over the same steps
    spread: float | None  # standard deviation of the rewards, over the same steps
    proof: Proof


def lines(run: RunDir, numbers: Summary) -> Iterator[str]:
    """The sentence, where no difference of accuracy was detected, be it borderline or of each trained model alone."""
    accuracy, seeds = numbers.difference.accuracy, numbers.seeds or ()
    if of(accuracy).kind != "not detected" or verdict.of(numbers).alike:
        return
    proofs = {entry.seed: entry.proof for entry in seeds} or {numbers.train.seed: numbers.proof}
    trained = [_measured(run, seed, proof) for seed, proof in proofs.items()]
    # A model whose answers changed in any quantity has moved, whatever the probe's tokens say.
    compared = (numbers.difference, *(entry.difference for entry in seeds))
    changed = any(of(getattr(each, name)).kind == "detected" for each in compared for name in COMPARED)
    causes = [cause for cause in CAUSES if not (changed and cause is still)]
    named = [said for cause in causes if (said := cause(trained, run.config))]
    room = 1 - numbers.base.accuracy.value
    if room < WIDE:
        named.append(
            f"the base had {numbers.base.accuracy.value:.1%} right, which left {100 * room:.1f} points to gain"
        )
    elif accuracy.high >= WIDE:
        size = plural(numbers.n, "question")
        if isinstance(accuracy, SeedsRecord) and _term(accuracy) > NORMAL.inv_cdf(1 - ALPHA / 2) * accuracy.se_question:
            size = f"{plural(len(accuracy.per_seed), 'training')} that differ so much"
        hidden = in_points(min(accuracy.high, room))[0]
        named.append(f"with {size} a gain of up to {hidden} points cannot be told from none")
    if named:
        yield f"Why no gain was detected, as far as it was measured: {'; '.join(named)}."
    else:
        yield (
            "None of the causes that this report looks for in the training says why no gain was detected: missing or "
            "equal rewards, cut completions, always the same text, the penalty for leaving the base, weights that "
            "hardly moved. What the rewards paid for is in the training's curves."
        )


def _term(over_seeds: SeedsRecord) -> float:
    """What the trainings add to the half-width of the interval, before the squares are added."""
    return quantile(len(over_seeds.per_seed)) * over_seeds.se_seed


def _measured(run: RunDir, seed: int, proof: Proof) -> Measured:
    rows = read_metrics(metrics_log(run.train(seed)))
    rollouts = [row.numbers for row in rows if "reward" in row.numbers]
    last = rollouts[-max(1, round(len(rollouts) * REWARD_SHARE)) :]

    def mean(name: str, of_rows: Sequence[Numbers]) -> float | None:
        found = [row[name] for row in of_rows if row.get(name) is not None]
        return fmean(found) if found else None

    return Measured(
        steps=run.evaluated_step(seed),
        unrewarded=mean(UNREWARDED, rollouts),
        equal=mean(EQUAL_GROUPS, rollouts),
        cut=mean("completions/clipped_ratio", rollouts),
        entropy=mean("entropy", last),
        length=mean("completions/mean_length", last),
        kl=mean("kl", last),
        spread=mean("reward_std", last),
        proof=proof,
    )


def unrewarded(trained: Sequence[Measured], config: Config) -> str | None:
    found = [each.unrewarded for each in trained]
    if not _all(found, lambda share: share >= UNPAID):
        return None
    return f"no function gave a reward to {fmean(found):.0%} of the completions"


def equal(trained: Sequence[Measured], config: Config) -> str | None:
    found = [each.equal for each in trained]
    if not _all(found, lambda share: share >= EQUAL):
        return None
    return f"in {fmean(found):.0%} of the groups no two completions earned different rewards, so that none was better"


def cut(trained: Sequence[Measured], config: Config) -> str | None:
    found = [each.cut for each in trained]
    if not _all(found, lambda share: share >= CUT):
        return None
    limit = config.train.max_completion_tokens
    return f"{fmean(found):.0%} of the completions that it learned from were cut at {limit} tokens"


def entropy(trained: Sequence[Measured], config: Config) -> str | None:
    found = [each.entropy for each in trained]
    whole = [h and each.length and h * each.length for h, each in zip(found, trained, strict=True)]
    if not _all(whole, lambda nats: math.exp(min(nats, 700.0)) < CHOICES):
        return None
    return f"at the end it wrote nearly the same text every time (entropy {fmean(found):.2g} nats a token)"


def pull(trained: Sequence[Measured], config: Config) -> str | None:
    scaled, beta = config.train.scale_rewards != "none", config.train.beta
    costs = [
        None if each.kl is None else beta * each.kl / (1.0 if scaled else each.spread or math.inf) for each in trained
    ]
    if not _all(costs, lambda cost: cost >= PULL):
        return None
    kl = fmean(each.kl for each in trained)
    return (
        f"the penalty for leaving the base (train.beta {beta:g} x KL {kl:.3g} nats) had become as large as the "
        "rewards' own differences"
    )


def still(trained: Sequence[Measured], config: Config) -> str | None:
    steps = plural(max(each.steps for each in trained), "step")
    at = f"with a learning rate of {config.train.learning_rate:g} over {steps}"
    proofs = [each.proof for each in trained]
    if isinstance(proofs[0], WeightsProof):
        if not _all([proof.changed for proof in proofs], lambda share: share < CHANGED):
            return None
        share = fmean(proof.changed for proof in proofs)
        return f"only {share:.2%} of the weights differ in {config.eval.precision} from the base's, {at}"
    if not _all(proofs, lambda proof: proof.adapter_change < max(MOVED, 2 * proof.rerun_change)):
        return None
    change, again = (fmean(getattr(p, name) for p in proofs) for name in ("adapter_change", "rerun_change"))
    return (
        "the weights hardly moved (in the prompts of the adapter proof a token's log-prob changed by "
        f"{change:.2g} nats on average, and by {again:.2g} when the base was only scored again), {at}"
    )


# In the order in which they are named.
CAUSES: tuple[Callable[[Sequence[Measured], Config], str | None], ...] = (unrewarded, equal, cut, entropy, pull, still)


def _all(values: Sequence, holds: Callable) -> bool:
    return all(value is not None and holds(value) for value in values)
