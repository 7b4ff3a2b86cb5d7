"""Numbers of a summary as the text, table cells and chart marks that report, page and comparison share."""

from __future__ import annotations

from harness.report.charts import Mark
from harness.report.summary import Identity, Summary, Training
from harness.runs.manifest import Manifest
from harness.stats import finding
from harness.stats.finding import change, in_points, spell_p
from harness.stats.records import Estimate, PairedRecord, SeedsRecord
from harness.tasks.registry import TRAINING
from harness.util.text import plural

# What the page's words mean, shown where a reader points at them.
TERMS = {
    "Accuracy": "A right final answer in any format, of all questions: truncated and unparsed answers are wrong ones.",
    "Strict accuracy": "A right final answer in the exact format, of all questions.",
    "Format": "The exact format, whether the answer is right or wrong.",
    "mathematics": "What changed between answers that both models marked.",
    "readability": (
        "What changed where one of the two answers is unmarked or was cut: what marking, parsing and the token limit "
        "gave or took, and mathematics that cannot be told from it."
    ),
    "format": (
        "Strict accuracy minus accuracy: right answers that are not in the exact format, so that strict accuracy does "
        "not count them. Fewer of them is a gain, even where they are wrong now."
    ),
    "difference, points": (
        "Tuned minus base in points (100 points are all questions), with its 95% interval. Paired: both models "
        "answered the same questions, and each question is compared with itself."
    ),
    "gained": (
        "Questions that the base had wrong and the tuned model has right; with several answers a question, those of "
        "whose answers the tuned model has more right."
    ),
    "lost": (
        "Questions that the base had right and the tuned model has wrong; with several answers a question, those of "
        "whose answers the tuned model has fewer right."
    ),
    "rose": "Questions of whose samples the tuned model has more right than the base.",
    "fell": "Questions of whose samples the tuned model has fewer right than the base.",
    "mid-p": (
        "Two-sided p of McNemar's test of gained against lost, or with several answers a question of the sign-flip "
        "test of the questions' differences; an equally extreme result is counted half."
    ),
    "exact p": "The same with an equally extreme result counted whole: the more cautious of the two.",
    "p": "Two-sided p of the interval's own formula, over questions and training seeds.",
    "marked": (
        'Of an answer: pointed out by the text, in a solution block, behind a phrase such as "the answer is", in a box '
        "or after ####. Without a mark the last number of the text is taken."
    ),
    "rule that decided": (
        'Where an answer was looked for: in the solution block (solution), behind a phrase such as "the answer is", in '
        "a box (boxed), after #### (hashes), or as the last number of the text (last_number). The place that decides "
        "may hold no number, or several that contradict each other: then no answer is found."
    ),
    "exact format": "A working-out block, then a solution block, each tag once and in order, and nothing around them.",
    "cut": "Ended by the token limit, not by the model; such an answer counts as wrong.",
    "tutorial": (
        "The widely copied GRPO tutorial that this experiment follows: of rewards, its four functions with their "
        "quirks; of scorers, the same functions' reading of an answer."
    ),
    "robust": (
        "The rewards that judge a completion by the evaluation's own scorer, instead of the tutorial's patterns. One "
        "that was cut earns what its text so far earns, while the evaluation counts it as wrong."
    ),
    "rollout": "A completion that the model wrote in training, and was rewarded for.",
    "correlation": (
        "Between the engine's and PEFT's changes of log-probs under a strengthened adapter: near 1 if the engine uses "
        "it."
    ),
    "zeroed": "The same with an adapter of zeros, which must not look applied: near 0.",
    "renamed": "The same with an adapter whose names fit no module, which must not look applied: near 0.",
    "own change": "By how much the adapter as it is changes a token's log-prob, on average, in nats.",
    "rerun": "By how much scoring the base a second time changes it: what no adapter does.",
}


def points(difference: Estimate) -> str:
    """A difference in points with its interval, with real minus signs."""
    return change(difference)


def points_text(difference: Estimate) -> str:
    """The same in ASCII."""
    return change(difference).replace("−", "-")


def rate_text(rate: Estimate) -> str:
    """A rate in percent with its interval."""
    value, low, high = in_points(rate.value, rate.low, rate.high)
    return f"{value}% [{low}, {high}]"


def mark(series: str, estimate: Estimate, text: str) -> Mark:
    return Mark(series, 100 * estimate.value, 100 * estimate.low, 100 * estimate.high, text)


def difference_mark(difference: Estimate) -> Mark:
    """A mark in a chart of differences: "unclear" if the interval contains 0."""
    certain = difference.low > 0 or difference.high < 0
    return mark("difference" if certain else "unclear", difference, points(difference))


def p_text(difference: PairedRecord | SeedsRecord) -> str:
    return spell_p(difference.p) + (" (seeds)" if isinstance(difference, SeedsRecord) else "")


def counts(numbers: Summary, quantity: str, way: str) -> list[int]:
    """How many questions were gained or lost (`way`: "gained" or "lost"): one count, or one for each training seed."""
    each = [entry.difference for entry in numbers.seeds or ()] or [numbers.difference]
    return [getattr(getattr(difference, quantity), way) for difference in each]


def counts_text(numbers: Summary, quantity: str, way: str) -> str:
    return " / ".join(f"{count:,}" for count in counts(numbers, quantity, way))


DEMO = (
    "Demo: the gain is by construction. The embedded model was made so that a few minutes of training help it; nothing "
    "here says anything about other models."
)
TINY = "This is the embedded tiny model: nothing here says anything about other models."


def demo(identity: Identity) -> str | None:
    """What a reader must know of the embedded model's results; None for other models."""
    if not identity.demo:
        return None
    return DEMO if identity.data == identity.model else TINY  # by construction it learns its own problems alone


def model_text(identity: Identity) -> str:
    """The base model, with the beginning of its revision, or of a folder with what kind of model it holds."""
    about = [identity.revision[:8]] if identity.revision else []
    if identity.architecture:
        about.append(identity.architecture)
    if size := identity.parameters:
        about.append(f"{size / 1e9:.1f} B parameters" if size >= 1e9 else f"{size / 1e6:.0f} M parameters")
    return f"{identity.model} ({', '.join(about)})" if about else identity.model


def identity_parts(numbers: Summary) -> tuple[str, ...]:
    """What was trained, how, and on which questions it was scored, each in a few words."""
    found = numbers.identity
    asked = found.data if found.task == TRAINING else found.task
    return (*trained_parts(found), f"{asked} {numbers.conditions.split}, {plural(numbers.n, 'question')}")


def trained_parts(found: Identity) -> tuple[str, ...]:
    """What was trained and how, each in a few words."""
    return (
        model_text(found),
        "all weights" if found.lora_r is None else f"LoRA r {found.lora_r}",
        f"{steps_text(found)} of {plural(found.completions, 'completion')}",
        f"seed{'s' if found.seeds[1:] else ''} {', '.join(map(str, found.seeds))}",
    )


def steps_text(found: Identity) -> str:
    if found.done is None:
        return plural(found.steps, "step")
    return f"{' / '.join(map(str, found.done))} of {plural(found.steps, 'step')}"


def stopped(trained: Training) -> str | None:
    """That a training ended before its last step, and why."""
    if not (trained.asked and (d := trained.drift)):
        return None
    return (
        f"The training with seed {trained.seed} was stopped after step {trained.steps} of {trained.asked}: its reward "
        f"had risen from {d.reward[0]:.2f} to {d.reward[1]:.2f} while the accuracy of the completions that it learned "
        f"from had fallen from {d.accuracy[0]:.1%} to {d.accuracy[1]:.1%}. The tuned model comes from what was "
        "trained until then."
    ).replace("-", "−")


CONTROL_REWARDS = {"random": "random rewards", "format_only": "rewards for the format alone"}


def against_control(reward: str, difference: PairedRecord | SeedsRecord, gain: Estimate) -> str:
    """What the training gave beyond its control; difference: of accuracy from it, gain: its own over the base."""
    found, what = finding.of(difference), CONTROL_REWARDS[reward]
    shown = f"{change(difference)} points, p {spell_p(difference.p)}"
    own = f"The control itself changed accuracy by {change(gain)} points."
    if gain.high < 0 < difference.value:  # then the difference is no measure of what this training gave
        own = (
            f"The control itself lost accuracy ({change(gain)} points), so that the difference is more than this "
            "training gained over the base."
        )
    if found.kind == "not detected":
        return (
            f"No difference in accuracy detected between this training and the same one on {what} ({shown}; "
            f"{found.design()}). {own}"
        )
    side = "higher" if found.direction == "up" else "lower"
    said = f"accuracy is {side} after this training than after the same one on {what} ({shown})"
    if found.kind == "borderline":
        return f"Borderline: {said}, but {found.disagreement}. {own}"
    return f"{said[:1].upper()}{said[1:]}. {own}"


def measured(made: Manifest) -> tuple[str, ...]:
    """On which machine the run was evaluated, and on which day it ended."""
    machine = made.machine and (made.machine.gpu or "CPU")
    return tuple(filter(None, (machine, ended(made))))


def ended(made: Manifest) -> str | None:
    """The day on which a run ended, in UTC, as ISO 8601; None in older runs, which did not keep it."""
    return max((cost.finished[:10] for cost in made.stages.values() if cost.finished), default=None)


def identity_line(numbers: Summary, made: Manifest) -> str:
    return "; ".join(identity_parts(numbers) + measured(made)) + "."
