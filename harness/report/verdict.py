"""Everything that a report claims, as one object: first lines, parts, scorers, cut answers and page speak from it.

So no two of them can contradict each other. What may be said about a single difference is `harness.stats.finding`'s to
say: a claim is made only of what is detected there. The numbers are those of the summary; this module has the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from harness.report.summary import (
    Claim,
    Parts,
    ScorerView,
    SeedSummary,
    Summary,
    Training,
    Truncation,
    VerdictRecord,
)
from harness.stats import finding
from harness.stats.finding import CHANGED, Finding, Sentence, change, signed, spell
from harness.stats.power import LIMIT, POWER
from harness.stats.records import AnyDifference, Compared, SeedsRecord
from harness.stats.seeds import OVER_SEEDS

NOTABLE = (
    0.01  # share of completions: cut ones above it, and a change of unmarked ones above it, are in the first lines
)
FOUND = {
    "up": "a rise", "down": "a fall", "borderline up": "a borderline rise", "borderline down": "a borderline fall",
    "none": "no difference",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What may be said about a run; differences are tuned minus base."""

    accuracy: Finding
    strict: Finding
    format: Finding
    mathematics: Finding
    readability: Finding
    format_gap: Finding  # of strict accuracy minus accuracy
    cut: tuple[float, float]  # share of the base's and of the tuned completions that were cut at the token limit
    cut_bounds: tuple[Finding, Finding]  # of accuracy: the lowest and the highest that the cut ones could have made it
    unmarked: tuple[float, float]  # share of the completions without a marked, whole answer
    scorers: tuple[ScorerView, ...]  # those of others
    trained: tuple[Training, ...]
    accuracies: tuple[Finding, ...]  # of several trainings, the change of each
    formats: tuple[tuple[int, Finding], ...]  # of several trainings the seed of each, and its own change of format
    identical: bool  # every completion was judged as the base's, with the same answer and length

    def claims(self) -> dict[str, Claim]:
        """Kind and direction of each finding, by its name."""
        names = ("accuracy", "strict", "format", "mathematics", "readability", "format_gap")
        return {name: Claim(getattr(self, name).kind, getattr(self, name).direction) for name in names}

    # --- the first lines

    def opening(self) -> Sentence:
        """The first sentence: accuracy, and the format if it is detected to have changed."""
        if not self.format.detected:
            return self.accuracy.sentence(hint=self._hint())
        accuracy, form = self.accuracy, self.format.change("format")
        if accuracy.kind == "not detected":
            return Sentence(
                f"No difference in accuracy detected, but the {form}",
                "; ",
                f"{accuracy.design('points of accuracy')}. Accuracy: {_lower(accuracy.observed())} "
                f"Format: {self.format.evidence()}.",
            )
        evidence = f"(accuracy: {accuracy.evidence()}; format: {self.format.evidence()})."
        changed = accuracy.change("accuracy")
        if accuracy.kind == "borderline":
            evidence += f" Of accuracy {accuracy.disagreement}; {accuracy.design()}."
            return Sentence(f"Borderline: {changed}; the {form}", " ", evidence)
        word = "and" if accuracy.direction == self.format.direction else "but"
        return Sentence(f"{changed[0].upper()}{changed[1:]}, {word} the {form}", " ", evidence)

    def limits(self) -> str | None:
        """What must stand beside a claim that is shown without its evidence; None if accuracy's change is detected."""
        if self.accuracy.detected:
            return None
        points = "points of accuracy" if self.format.detected else "points"
        said = f"{self.accuracy.design(points)}."
        if self.power():
            said += " Why that is more than half the interval's width stands under Training seeds."
        if self.identical:
            said += f" {self.accuracy.observed()}{self._hint()}"
        return f"{self.accuracy.disagreement}; {said}" if self.accuracy.kind == "borderline" else said

    def power(self) -> str | None:
        """Why the detectable difference over training seeds is larger than the interval suggests; None if it is not."""
        d, detectable = self.accuracy.difference, self.accuracy.detectable
        half = (d.high - d.low) / 2
        if not isinstance(d, SeedsRecord) or d.method != OVER_SEEDS or detectable is None or detectable <= half:
            return None
        count = len(d.per_seed)
        return (
            f"This design detects ≥ {100 * detectable:.2f} points with {POWER:.0%} power, more than the interval's "
            f"±{100 * half:.2f}: the interval takes the variation that these {count} trainings showed, the power the "
            f"largest that they leave open (the upper {1 - LIMIT:.0%} limit of its variance)."
        )

    def _hint(self) -> str:
        """That every completion is as the base's. Without proof that the trained weights were used, no report."""
        if not self.identical:
            return ""
        return (
            " Every completion has the base's answer and length, although the trained weights were proved to be in "
            "use: the training changed too little to show."
        )

    def split(self) -> str | None:
        """The two parts of the accuracy difference, if readability is the larger one or has the other sign."""
        m, r = (part.difference.value for part in (self.mathematics, self.readability))
        if not r or (abs(r) < abs(m) and r * m > 0):
            return None
        return (
            f"Of the {signed(self.accuracy.difference.value)[0]} points of accuracy, {self._part('mathematics')} are "
            f"mathematics, between answers that both models marked, and {self._part('readability')} readability: where "
            "one of the two is unmarked or was cut, so that how it is written cannot be told from what it says."
        )

    def unreadable(self) -> str | None:
        """How the share of unmarked or cut answers changed, if by more than NOTABLE."""
        base, tuned = self.unmarked
        if abs(tuned - base) <= NOTABLE:
            return None
        return (
            f"{base:.1%} of the base's and {tuned:.1%} of the tuned completions have no marked, whole answer: accuracy "
            "compares how they write it, too."
        )

    def reward(self) -> str | None:
        """How the reward moved in the trainings, and accuracy beside it; None if one has no reward at two steps."""
        if any(each.reward_first is None or each.reward_last is None or each.steps < 2 for each in self.trained):
            return None
        ends = ", ".join(f"from {spell(each.reward_first)} to {spell(each.reward_last)}" for each in self.trained)
        rose = [each.reward_rose and each.reward_first < each.reward_last for each in self.trained]
        if all(rose):
            moved = f"The reward rose ({ends})"
        elif any(each.reward_rose is None for each in self.trained):  # too few steps, or an older version
            moved = f"The mean reward went {ends}"
        elif any(rose):
            moved = f"The reward is detected to have risen in {sum(rose)} of {len(rose)} trainings ({ends})"
        elif all(spell(each.reward_first) == spell(each.reward_last) for each in self.trained):
            moved = f"The reward stayed at {', '.join(spell(each.reward_last) for each in self.trained)}"
        else:
            moved = f"The reward is not detected to have risen ({ends})"
        came = {"up": "rose", "down": "fell", None: "is not detected to have changed"}[self.accuracy.detected]
        if self.accuracy.kind == "borderline":
            came = f"shows {FOUND[self.accuracy.outcome]}"
        return f"{moved}, and {'mean ' if self.each() else ''}accuracy on these questions {came}."

    def reward_apart(self) -> bool:
        """Whether the reward ended higher in every training while accuracy is not detected to have risen."""
        if self.reward() is None or "up" in (self.accuracy.detected, self.alike):
            return False
        return all(each.reward_last > each.reward_first for each in self.trained)

    @property
    def alike(self) -> str | None:
        """The direction in which every one of several trained models is detected to have changed; None: not every one.

        A single gain among several trainings counts for nothing: it may be chance, and chosen.
        """
        ways = {found.detected for found in self.accuracies}
        return ways.pop() if len(ways) == 1 else None

    def each(self) -> str | None:
        """That every trained model by itself changed alike, where their mean is not detected to have changed."""
        if self.alike is None or self.accuracy.kind == "detected":
            return None
        values = ", ".join(signed(*(found.difference.value for found in self.accuracies)))
        return (
            f"Each of the {len(self.accuracies)} trained models by itself {CHANGED[self.alike]} in accuracy ({values} "
            "points). The first sentence is about the mean of all such trainings, which so few of them tell less well."
        )

    def formats_differ(self) -> str | None:
        """Which trainings changed the format otherwise than others; None if their intervals do not tell them apart."""
        found = [each for _, each in self.formats]
        if not any(_apart(one, other) for one, other in combinations(found, 2)):
            return None
        groups = {outcome: [pair for pair in self.formats if pair[1].outcome == outcome] for outcome in FOUND}
        told = [
            f"{FOUND[outcome]} is detected with seed{'s' if group[1:] else ''} "
            + ", ".join(f"{seed} ({signed(each.difference.value)[0]} points)" for seed, each in group)
            for outcome, group in groups.items()
            if group
        ]
        return f"The trainings differ in format: {'; '.join(told)}."

    def undivided(self) -> str | None:
        """That a change is detected and none of its parts, which may look like a contradiction."""
        accuracy = (self.mathematics, self.readability)
        wholes = {"accuracy": (self.accuracy, accuracy), "strict accuracy": (self.strict, (*accuracy, self.format_gap))}
        for name, (whole, parts) in wholes.items():
            if whole.detected and not any(part.detected for part in parts):
                return (
                    f"The change of {name} is detected, and none of its parts is by itself: how it divides into them "
                    "is less certain than the whole."
                )
        return None

    # --- the parts of strict accuracy

    def parts(self) -> str:
        """All three parts, each with its interval and whether it is detected."""
        return (
            f"Of the {change(self.strict.difference)} points of strict accuracy, {self._part('mathematics')} are "
            f"mathematics, {self._part('readability')} readability and {self._part('format_gap')} the format gap. "
            "Mathematics is between answers that both models marked. Readability is where one of the two is unmarked "
            "or was cut: what marking, parsing and the token limit gave or took, and mathematics that cannot be told "
            "from it. The format gap is right answers that are not in the exact format, which strict accuracy does "
            "not count: fewer of them is a gain, even where they are wrong now."
        )

    def _part(self, name: str) -> str:
        found: Finding = getattr(self, name)
        return f"{change(found.difference)} ({found.word})"

    # --- completions that were cut

    def cut_changes(self) -> bool:
        """Whether what is claimed of accuracy depends on what the cut completions would have been."""
        return {found.outcome for found in self.cut_bounds} != {self.accuracy.outcome}

    def truncation(self) -> str:
        """What the completions that were cut could have made of the difference of accuracy."""
        base, tuned = (f"{share:.1%}" for share in self.cut)
        low, high = signed(*(bound.difference.value for bound in self.cut_bounds))
        lowest, highest = (FOUND[bound.outcome] for bound in self.cut_bounds)
        ends = f"{lowest} is detected at both ends"
        if lowest != highest:
            ends = f"{lowest} is detected at the lower end, {highest} at the upper"
        return (
            f"{base} of the base's and {tuned} of the tuned completions were cut at the token limit and count as "
            f"wrong; whatever they would have been, the difference of accuracy lies between {low} and {high} points: "
            f"{ends}."
        )

    # --- scorers of others

    def disputes(self, view: ScorerView) -> bool:
        """Whether an applicable scorer detects another direction than ours, or any where ours finds none."""
        found = self.accuracy.direction if self.accuracy.kind != "not detected" else None
        return view.applicable and view.outcome in ("up", "down") and view.outcome != found

    def disputed(self) -> bool:
        return any(map(self.disputes, self.scorers))

    def panel(self) -> str:
        """What the applicable scorers of others detect, and whose size is unlike ours."""
        voters = [view for view in self.scorers if view.applicable]
        own = self.accuracy.outcome
        ours = f"Our scorer detects {FOUND[own]} in accuracy ({signed(self.accuracy.difference.value)[0]} points)."
        if not voters:
            return (
                f"{ours} No published scorer of others can read most of these answers: the result rests on ours alone."
            )
        groups = {found: [view for view in voters if view.outcome == found] for found in FOUND}
        agree = groups.pop(own)
        do = f"{len(agree) or 'none'} find{'' if agree[1:] else 's'} the same{_named(agree)}"
        said = [f"{ours} Of the published scorers of others, {len(voters)} can read most of these answers: {do}"]
        for found, views in groups.items():
            if views:
                said.append(f"{len(views)} detect{'' if views[1:] else 's'} {FOUND[found]}{_named(views)}")
        sentence = "; ".join(said) + "."
        if unlike := [view.name for view in voters if view.differs]:
            sentence += f" The size of the difference is detected to be another than ours under: {', '.join(unlike)}."
        return sentence


def judge(
    differences: Compared[AnyDifference],
    parts: Parts,
    truncation: Truncation,
    marked: tuple[float, float],
    scorers: Sequence[ScorerView],
    trained: Sequence[Training],
    identical: bool,
    seeds: Sequence[SeedSummary] = (),
) -> Verdict:
    """The verdict on these numbers; marked: the share of completions with a marked answer, base and tuned."""
    return Verdict(
        accuracy=finding.of(differences.accuracy),
        strict=finding.of(differences.strict),
        format=finding.of(differences.format),
        mathematics=finding.of(parts.mathematics),
        readability=finding.of(parts.readability),
        format_gap=finding.of(parts.format),
        cut=(truncation.base_cut, truncation.tuned_cut),
        cut_bounds=(finding.of(truncation.lowest), finding.of(truncation.highest)),
        unmarked=tuple(1 - share for share in marked),
        scorers=tuple(scorers),
        trained=tuple(trained),
        accuracies=tuple(finding.of(each.difference.accuracy) for each in seeds),
        formats=tuple((each.seed, finding.of(each.difference.format)) for each in seeds),
        identical=identical,
    )


def record(found: Verdict) -> VerdictRecord:
    """The verdict as the summary holds it."""
    accuracy = found.accuracy
    return VerdictRecord(
        kind=accuracy.kind,
        direction=accuracy.direction,
        detectable=accuracy.detectable,
        one_way=accuracy.one_way,
        discordance=accuracy.discordance,
        discordance_high=accuracy.discordance_high,
        sentence=str(found.opening()),
        claims=found.claims(),
        identical=found.identical,
    )


def of(numbers: Summary) -> Verdict:
    """The verdict of a finished run."""
    return judge(
        numbers.difference,
        numbers.decomposition,
        numbers.truncation,
        (numbers.base.marked.value, numbers.tuned.marked.value),
        numbers.panel.scorers,
        [entry.train for entry in numbers.seeds] if numbers.seeds else [numbers.train],
        numbers.verdict.identical,
        numbers.seeds or (),
    )


def _apart(one: Finding, other: Finding) -> bool:
    """Whether two findings have other outcomes, and intervals that do not overlap."""
    a, b = one.difference, other.difference
    return one.outcome != other.outcome and (a.low > b.high or b.low > a.high)


def _named(views: Sequence[ScorerView]) -> str:
    each = ", ".join(f"{view.name} {signed(view.difference.value)[0]}" for view in views)
    return f" ({each})" if each else ""


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
