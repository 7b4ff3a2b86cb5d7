"""summary.json: every number that a rerun must reproduce, byte for byte. Rates and differences are proportions.

With several training seeds `tuned`, `difference`, `decomposition` and `verdict` are those of the mean over the seeds,
with intervals that include the variation between trainings (harness.stats.seeds); such a difference has no counts of
gained and lost questions, and one p instead of mid-p and exact p. `seeds` then has the same for each single seed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.config import plugins
from harness.config.schema import EMBEDDED
from harness.runs.comparable import Choice
from harness.runs.curve import Curve
from harness.runs.directory import RunDir
from harness.runs.proof import AdapterProof, WeightsProof
from harness.runs.results import Changed, Conditions, SelfTestCounts
from harness.stats.drift import Drift
from harness.stats.finding import outcome
from harness.stats.records import AnyDifference, Compared, Estimate, PairedRecord, Rate
from harness.tasks.records import ProblemCounts
from harness.util import files, typed
from harness.util.text import quoted, without_folders
from harness.util.typed import OMITTED

AnyProof = typed.either(AdapterProof, WeightsProof, "tensors")

REWARD_SHARE = 0.1  # share of the steps, at each end of a training, over which the reward is averaged


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """One model's rate of each quantity of harness.stats.scores.QUANTITIES."""

    accuracy: Rate
    strict: Rate
    format: Rate
    tags: Rate
    marked: Rate  # of an answer with a marker, unambiguous and not cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Side(Rates):
    """The rates of one model, and counts of its completions."""

    completions: int
    truncated: int  # completions cut at the token limit
    unparsed: int  # completions in which no answer was found
    mean_tokens: float  # a completion


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedSide(Side):
    """The tuned model, or those of all training seeds together: their mean rates and all of their completions."""

    adapter: str | tuple[str | None, ...] | None  # SHA-256, in hex, of the trained weights; of several seeds one each


@dataclass(frozen=True, slots=True)
class RuleCounts:
    """The completions that one extraction rule decided, and those of them that were right; over seeds the mean."""

    base: int | float
    base_correct: int | float
    tuned: int | float
    tuned_correct: int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of the change of strict accuracy, which add up to it; see harness.stats.decomposition."""

    mathematics: AnyDifference
    readability: AnyDifference
    format: AnyDifference  # of strict accuracy minus accuracy


@dataclass(frozen=True, slots=True)
class Flow:
    """Questions gained or lost, by whether the right answer was marked; expected numbers, see Flows."""

    gained_marked: int | float
    gained_unmarked: int | float
    lost_marked: int | float
    lost_unmarked: int | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Flows:
    """The questions gained and lost, by how the wrong one of the two answers stood.

    With several samples a question these are expected numbers, for one sample of each model drawn at random; over seeds
    the mean. The first row, marked on both sides, is what mathematics counts.
    """

    marked: Flow  # a wrong number behind a marker
    unmarked: Flow  # a wrong number, the last of the text
    none: Flow  # no answer: no number, an ambiguous or a malformed one
    cut: Flow  # cut at the token limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Decomposition(Parts):
    sentence: str
    flows: Flows
    by_rule: dict[str, RuleCounts]  # by the rule that found the answer; "none" if no rule did


@dataclass(frozen=True, slots=True)
class Claim:
    """What is claimed of one difference."""

    kind: str  # "detected", "borderline" or "not detected"
    direction: str  # of the estimate: "up", "down" or "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictRecord:
    """What may be said about accuracy; the first fields are those of `stats.finding.Finding`."""

    kind: str  # "detected", "borderline" or "not detected"
    direction: str  # "up", "down" or "none"
    detectable: float | None
    one_way: float | None
    discordance: float | None
    discordance_high: float | None
    sentence: str  # the report's first sentence
    claims: dict[str, Claim]  # of accuracy, strict, format, and the parts mathematics, readability, format_gap
    identical: bool  # every completion was judged as the base's, with the same answer and length


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncation:
    """Bounds of the accuracy difference over what the completions cut at the token limit could have been."""

    base_cut: float  # share of the completions
    tuned_cut: float
    lowest: AnyDifference  # the base's cut ones right, the tuned model's wrong
    highest: AnyDifference  # the other way round


@dataclass(frozen=True, slots=True)
class ScorerSide:
    """One model under one published scorer."""

    accuracy: float
    extracted: float  # share of the completions in which it finds an answer
    as_ours: float  # share of the completions on which its judgement is the same as ours


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorerView:
    """The run under one published scorer; see `scorer_panel.compare`."""

    name: str
    source: str  # where its rule is published
    reads: str  # what it takes for the answer
    base: ScorerSide
    tuned: ScorerSide  # over seeds the mean
    difference: AnyDifference
    kind: str  # of what may be said of the difference: "detected", "borderline" or "not detected"
    direction: str  # "up", "down" or "none"
    applicable: bool
    differs: bool  # its difference is detected to be unlike ours, question by question

    @property
    def outcome(self) -> str:
        """As `stats.finding.outcome`."""
        return outcome(self.kind, self.direction)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The completions of base and tuned models under the rules of others."""

    scorers: tuple[ScorerView, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class Ends:
    """A share at both ends of a training."""

    first: float
    last: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A summary of one training."""

    seed: int
    steps: int
    asked: int | None = field(default=None, metadata=typed.OMITTED)  # steps, if it was stopped before the last of them
    completions: int  # generated for learning
    dropped_prompts: int  # over the limit of tokens
    reward_first: float | None  # mean over the first REWARD_SHARE of the steps; None if no reward was logged
    reward_last: float | None
    profiles_disagree: dict[str, float]  # by "format" and "answer": share of the completions
    # By the evaluation's scorer, as shares of the completions over the same steps as the reward; None where an older
    # version did not record it.
    rollouts: dict[str, Ends] | None = field(default=None, metadata=typed.OMITTED)  # by quantity
    reward_rose: bool | None = field(default=None, metadata=typed.OMITTED)  # `stats.drift.rose`; None: not tested
    drift: Drift | None = field(default=None, metadata=typed.OMITTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorRecord:
    """One quantity in two evaluations of the base; the fields are those of `stats.sensitivity.NoiseFloor`."""

    flipped: int
    n: int
    rate: float
    low: float
    high: float
    flips: bool
    difference: PairedRecord
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseFloor:
    """The base evaluated twice: what changes although nothing was trained."""

    changed: Changed | None  # how the second evaluation differed
    accuracy: FloorRecord
    strict: FloorRecord
    format: FloorRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class OfSamples:
    """One measure over the samples of a question: pass^K or maj@K."""

    name: str
    base: Rate
    tuned: Rate
    difference: AnyDifference


@dataclass(frozen=True, slots=True, kw_only=True)
class AtK:
    """pass@k of both models for one k."""

    k: int
    base: float
    tuned: float
    difference: float
    low: float | None  # of the band that holds for all k at once; None: no variance at this k
    high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Newly:
    """Questions newly solved (no answer of the base right, at least one of the tuned model) and newly lost.

    Over seeds the means. Chance makes some of them: `by_chance` is the expected number, each way, between two disjoint
    sets of `drawn` of the base's own answers. The expected numbers base to tuned are over disjoint sets too, because
    both models draw the answers at one place with one seed (`stats.pass_at_k.newly_solved`).
    """

    solved: int | float  # with all samples
    lost: int | float
    drawn: int  # half of the samples
    solved_of_drawn: float
    lost_of_drawn: float
    by_chance: float
    solved_beyond: AnyDifference  # the question's chance to be newly solved, base to tuned minus by chance
    lost_beyond: AnyDifference
    again_solved: int | None = field(default=None, metadata=OMITTED)  # with all samples, the base evaluated again
    again_lost: int | None = field(default=None, metadata=OMITTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """pass@k of base and tuned for every k up to the samples a question, with a simultaneous 95% band (sup-t)."""

    critical: float | None  # half the band's width in standard errors; None if no k has variance
    at: tuple[AtK, ...]
    newly: Newly

    @property
    def more(self) -> list[int]:
        """The k at which the tuned model is detected to solve more."""
        return [each.k for each in self.at if each.low is not None and each.low > 0]

    @property
    def fewer(self) -> list[int]:
        return [each.k for each in self.at if each.high is not None and each.high < 0]

    @property
    def constant(self) -> list[int]:
        """The k without variance."""
        return [each.k for each in self.at if each.low is None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Elicited:
    """The base with the prompt that was best on dev: what prompting alone does, and what training adds to it."""

    choice: Choice
    accuracy: Rate  # on the questions of the run
    prompting: AnyDifference  # of accuracy: elicited minus base
    training: AnyDifference  # tuned minus elicited


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedSummary:
    """One of several trainings by itself."""

    seed: int
    tuned: Rates
    difference: Compared[PairedRecord]
    decomposition: Parts
    train: Training
    proof: AnyProof


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The same trainings on rewards that say nothing about the answer, scored as the tuned models are."""

    reward: str  # rewards.control
    tuned: Rates  # over seeds the mean
    gain: Compared[AnyDifference]  # over the base
    difference: Compared[AnyDifference]  # tuned minus control, each seed with its own: the difference of both gains
    train: tuple[Training, ...]  # by seed
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What was trained and scored, so that no number stands without it."""

    model: str  # the base: a hub id, or the name of its folder
    revision: str | None  # of a hub id
    architecture: str | None = field(default=None, metadata=OMITTED)  # of a folder, whose name says little
    parameters: int | None = field(default=None, metadata=OMITTED)
    demo: bool  # the embedded model, which was made so that the training helps
    lora_r: int | None  # None: all weights were trained
    steps: int  # asked for, of each training
    done: tuple[int, ...] | None = field(default=None, metadata=OMITTED)  # steps of each, if one was stopped early
    completions: int  # a step
    seeds: tuple[int, ...]  # of the trainings
    task: str
    data: str  # a hub id, or the name of its folder or file

    @classmethod
    def of(cls, run: RunDir) -> Identity:
        """What a run trains and scores; known from its settings, before it has begun."""
        config, base = run.config, run.read_manifest().base
        model, done = config.model, tuple(map(run.steps, config.train.seeds))
        unnamed = base if base and not base.revision and model.id != EMBEDDED else None
        return cls(
            model=without_folders(model.id),
            revision=base and base.revision,
            architecture=unnamed and unnamed.architecture,
            parameters=unnamed and unnamed.parameters,
            demo=model.id == EMBEDDED,
            lora_r=None if model.full_finetuning else config.lora.r,
            steps=config.train.steps,
            done=done if set(done) != {config.train.steps} else None,
            completions=config.completions_per_step,
            seeds=tuple(config.train.seeds),
            task=plugins.task(config).name,
            data=without_folders(config.data.path),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskGain(Estimate):
    """The gain on one task, tuned minus base; see harness.stats.transfer."""

    base: float  # accuracy
    tuned: float
    n: int  # questions
    clusters: int | None  # of questions made from one template or seed question; None: each stands alone
    se: float  # standard error, the part of the questions; 0 does not mean certainty
    per_seed: tuple[float, ...] | None  # of several training seeds
    method: str  # of the interval
    p: float  # two-sided, uncorrected
    p_holm: float | None  # corrected over the further tasks; None for the first


@dataclass(frozen=True, slots=True, kw_only=True)
class Against(Estimate):
    """A task's gain minus the first task's."""

    p: float  # two-sided, uncorrected
    p_holm: float  # corrected over the further tasks


@dataclass(frozen=True, slots=True)
class KindGain:
    """The gain on one kind of a task's questions."""

    kind: str
    difference: AnyDifference


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSummary:
    """One of several tasks that the run was scored on."""

    name: str
    hub: str | None  # id of its data set; None: the data of the experiment
    revision: str | None  # the commit of a hub data set that was asked for
    licence: str | None
    data: str  # SHA-256, in hex, over ids and golds of the questions
    overlap: str | None  # why its questions are not independent of GSM8K's test, as a clause
    left_out: dict[str, int]  # rows that were not asked, by the reason
    gain: TaskGain
    against: Against | None  # None for the first task
    verdict: str | None  # of harness.stats.transfer; None for the first task
    detectable: float | None  # the smallest gain that it detects with 80% power; None: none, or not known
    time_outs: (
        tuple[int, int] | None
    )  # completions that could not be judged, base and tuned; None: its judge has no limit
    kinds: tuple[KindGain, ...] | None  # None: its questions are of one kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """How far the gain on the first task carries to the others."""

    tasks: tuple[TaskSummary, ...]  # the first is the run's own
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A finished run."""

    name: str  # of the experiment
    digest: str  # of its settings
    identity: Identity
    n: int  # questions
    samples: int  # completions per question
    conditions: Conditions  # under which both models were evaluated
    base_weights: str | None  # SHA-256, in hex; None in runs that did not keep it
    problems: ProblemCounts
    selftest: SelfTestCounts
    base: Side
    tuned: TunedSide
    difference: Compared[AnyDifference]
    decomposition: Decomposition
    verdict: VerdictRecord
    truncation: Truncation
    panel: Panel
    train: Training  # of the first seed
    proof: AnyProof  # of the first seed
    noise_floor: NoiseFloor | None = field(default=None, metadata=OMITTED)
    elicited: Elicited | None = field(default=None, metadata=OMITTED)
    curve: dict[str, Curve] | None = field(default=None, metadata=OMITTED)  # by training seed
    of_samples: tuple[OfSamples, ...] | None = field(default=None, metadata=OMITTED)  # with several samples a question
    curves: Curves | None = field(default=None, metadata=OMITTED)  # the same
    seeds: tuple[SeedSummary, ...] | None = field(default=None, metadata=OMITTED)  # if there are several
    transfer: Transfer | None = field(default=None, metadata=OMITTED)  # if there are several tasks
    control: Control | None = field(default=None, metadata=OMITTED)

    @property
    def several(self) -> int:
        """The number of training seeds if there are several, else 0."""
        return len(self.seeds or ())


def read(run: Path) -> Summary:
    """The summary of a run directory. Raises HarnessError, one line with file and field, if it is not valid."""
    return typed.read(Summary, run / "summary.json", f"python -m harness.report {quoted(run)} writes it again")


def text(numbers: Summary) -> str:
    """The content of its file."""
    return files.as_json(typed.plain(numbers))
