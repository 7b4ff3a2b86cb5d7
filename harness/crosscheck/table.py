"""The crosscheck's table: lm-eval's numbers next to ours, and why they differ.

Two sets of completions, ours and lm-eval's, are judged by three rules: our accuracy and lm-eval's two filters. Within a
set only the rule changes, between the sets only the way of asking, so each difference between their number and ours is
split into parts. Base and tuned answer the same questions, so their differences are paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.config import plugins
from harness.crosscheck import inputs, lm_eval_task
from harness.crosscheck.inputs import Check, Material
from harness.crosscheck.lm_eval_task import FILTERS
from harness.report import markdown, scorer_panel
from harness.report.scorer_panel import Completed
from harness.report.wording import points, rate_text
from harness.runs.directory import RunDir
from harness.runs.results import read_evaluation
from harness.stats import finding, paired
from harness.stats.finding import spell_p
from harness.stats.records import JudgedPair, Rate
from harness.stats.scores import means, rate
from harness.tasks import panel
from harness.tasks.panel import Ruling
from harness.tasks.records import Problem
from harness.tasks.registry import TRAINING
from harness.util import files, typed
from harness.util.errors import HarnessError
from harness.util.text import one_line, plural, visible

OURS = "ours"
THEIRS = "lm-eval's"
ACCURACY = "our accuracy"
SHOWN = 3  # mismatches for each filter


@dataclass(frozen=True, slots=True)
class Answers:
    """The completions and rulings by training seed; None is the base."""

    ours: dict[int | None, list[Completed]]  # the run's completions, all samples
    ruled: dict[int | None, dict[str, list[Ruling]]]  # lm-eval's rulings on them, by filter
    theirs: dict[int | None, list[dict[str, Any]]]  # lm-eval's rows (harness.crosscheck.worker), one for each question
    facts: dict[int | None, dict[str, Any]]  # how lm-eval asked


@dataclass(frozen=True, slots=True)
class Row:
    """One set of completions judged by one rule."""

    completions: str  # OURS or THEIRS
    rule: str  # ACCURACY or one of FILTERS
    base: Rate
    tuned: Rate
    difference: JudgedPair
    why: str  # how it differs from the row of our own number


@dataclass(frozen=True, slots=True)
class SeedRows:
    seed: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Ruled:
    """A rule's result on a completion."""

    extracted: str | None
    correct: bool


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A completion on which the panel's rule and lm-eval's own code disagree."""

    whose: str
    id: str  # of the problem
    text: str
    lm_eval: Ruled
    panel: Ruled


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the panel's rule and lm-eval's own code agree."""

    filter: str  # one of FILTERS
    checked: int  # completions
    mismatches: int
    examples: tuple[Mismatch, ...]  # the first SHOWN


@dataclass(frozen=True, slots=True)
class Crosscheck:
    """crosscheck.json."""

    run: str  # its directory's name
    task: str | None = field(default=None, metadata=typed.OMITTED, kw_only=True)  # of lm-eval; None: gsm8k
    n: int  # questions
    tables: tuple[SeedRows, ...]
    differs: tuple[str, ...]  # a sentence for each way in which lm-eval's evaluation differs from ours
    agreement: tuple[Agreement, ...]  # one for each filter
    facts: dict[str, dict[str, Any]]  # by side: how lm-eval asked, as it reports
    conditions: dict[str, dict[str, Any]]  # by side: what the numbers depend on


def read(file: Path) -> Crosscheck:
    """The numbers of a crosscheck.json. Raises HarnessError as typed.read."""
    return typed.read(Crosscheck, file)


def write(file: Path, numbers: Crosscheck) -> None:
    files.write_json(file, typed.plain(numbers))


def compare(
    run: RunDir, check: Check, material: Material, seeds: Sequence[int], conditions: dict[str, dict[str, Any]]
) -> Crosscheck:
    """All numbers of the table. conditions: what they depend on.

    Raises HarnessError if stored completions, ours or lm-eval's, do not belong to the questions.
    """
    sides, place = (None, *seeds), inputs.folder(run, check)
    judged_by = plugins.task(run.config)
    task = lm_eval_task.build(material.asked, material.examples, check.shots, name=judged_by.name)
    ours = {seed: _ours(run, material, seed) for seed in sides}
    answers = Answers(
        ours=ours,
        ruled={seed: lm_eval_task.judge(task, *_texts(material, ours[seed])) for seed in sides},
        theirs={seed: _theirs(place, material, seed) for seed in sides},
        facts={seed: inputs.read_asked(place, seed).facts for seed in sides},
    )
    return Crosscheck(
        run=run.path.resolve().name,
        task=None if judged_by.name == TRAINING else judged_by.lm_eval_task,
        n=len(material.asked),
        tables=tuple(SeedRows(seed, tuple(_rows(run, check, material, answers, seed))) for seed in seeds),
        differs=(_prompt(run, check, answers), *_differs(run, material, answers.facts)),
        agreement=tuple(_agreement(name, run, material, answers) for name in FILTERS),
        facts={inputs.side(seed): facts for seed, facts in answers.facts.items()},
        conditions=conditions,
    )


# --- what was answered


def _ours(run: RunDir, material: Material, seed: int | None) -> list[Completed]:
    """The run's own completions of the questions that lm-eval was asked, all samples."""
    where = run.base if seed is None else run.tuned(seed)
    wanted = {problem.id for problem in material.asked}
    scores = [score for score in read_evaluation(where).scores if score.id in wanted]
    return scorer_panel.completed(scores, where / "samples.jsonl")


def _theirs(place: Path, material: Material, seed: int | None) -> list[dict[str, Any]]:
    """lm-eval's rows, one for each question, in the order asked."""
    log = place / f"{inputs.side(seed)}.jsonl"
    rows = files.read_lines(log)
    if [row["id"] for row in rows] != [problem.id for problem in material.asked]:
        raise HarnessError(f"{log}: holds answers to other questions; delete {place} and run again")
    return rows


def _texts(material: Material, completions: Sequence[Completed]) -> tuple[list[Problem], list[str]]:
    problems = {problem.id: problem for problem in material.asked}
    return [problems[each.id] for each in completions], [each.text for each in completions]


# --- whether the panel agrees with lm-eval


def _agreement(name: str, run: RunDir, material: Material, answers: Answers) -> Agreement:
    """How often the panel's rule and lm-eval's own filter and metric agree on a text, and where they do not."""
    (rule,) = (scorer.rule for scorer in panel.SCORERS if scorer.name == f"lm-eval {name}")
    tags, golds = run.config.prompt.tags.record(), {problem.id: problem.gold for problem in material.asked}
    judged = [
        (f"{OURS}, {inputs.side(seed)}", each.id, each.text, ruling)
        for seed, completions in answers.ours.items()
        for each, ruling in zip(completions, answers.ruled[seed][name], strict=True)
    ]
    judged += [
        (f"{THEIRS}, {inputs.side(seed)}", row["id"], row["completion"], Ruling(**row[name]))
        for seed, rows in answers.theirs.items()
        for row in rows
    ]
    mismatches = [
        Mismatch(whose, key, text, Ruled(*ruling), Ruled(*own))
        for whose, key, text, ruling in judged
        if (own := rule(text, golds[key], tags)) != ruling
    ]
    return Agreement(name, len(judged), len(mismatches), tuple(mismatches[:SHOWN]))


# --- the table


def _rows(run: RunDir, check: Check, material: Material, answers: Answers, seed: int) -> list[Row]:
    """The six rows of one tuned model: whose completions, which rule, base, tuned, difference, and why."""
    sides, samples_each = (None, seed), run.config.eval.samples
    tags, golds = run.config.prompt.tags.record(), {problem.id: problem.gold for problem in material.asked}
    own = [means(answers.ours[side], [each.correct for each in answers.ours[side]]) for side in sides]
    rows = [_row(OURS, ACCURACY, own, samples_each, "the run's own number" + _part(material))]
    for name in FILTERS:
        ruled = [answers.ruled[side][name] for side in sides]
        right = [[ruling.correct for ruling in each] for each in ruled]
        extracted = [means(answers.ours[side], each) for side, each in zip(sides, right, strict=True)]
        rows.append(_row(OURS, name, extracted, samples_each, f"extraction alone, which {_found(ruled)}"))
    score = plugins.task(run.config).score
    right = [
        [score(row["completion"], golds[row["id"]], finish_reason="stop", tags=tags).correct for row in rows_of]
        for rows_of in (answers.theirs[side] for side in sides)
    ]
    rows.append(_row(THEIRS, ACCURACY, right, 1, f"prompt and limits, {_asked(run, check, answers.facts[None])}"))
    own_number = "the same prompt" if check.our_prompt else "lm-eval's own number, prompt and extraction"
    for name in FILTERS:
        ruled = [[Ruling(**row[name]) for row in answers.theirs[side]] for side in sides]
        right = [[ruling.correct for ruling in each] for each in ruled]
        rows.append(_row(THEIRS, name, right, 1, f"{own_number}; it {_found(ruled)}"))
    return rows


def _row(whose: str, rule: str, sides: Sequence[Sequence[float]], samples_each: int, why: str) -> Row:
    """One row; sides: base and tuned, each with one score for each question, in the same order (means of samples)."""
    base, tuned = (np.asarray(side, dtype=np.float64) for side in sides)
    difference = finding.judged(paired.paired(base, tuned))
    return Row(whose, rule, rate(base, samples_each), rate(tuned, samples_each), difference, why)


def _part(material: Material) -> str:
    n = len(material.asked)
    return "" if n == material.evaluated else f" on the first {n:,} of its {material.evaluated:,} questions"


def _found(sides: Sequence[Sequence[Ruling]]) -> str:
    base, tuned = (sum(ruling.extracted is not None for ruling in side) / len(side) for side in sides)
    unfit = "; too few to tell anything" if min(base, tuned) < scorer_panel.APPLICABLE else ""
    return f"finds an answer in {base:.1%} of base's completions and {tuned:.1%} of tuned's{unfit}"


# --- why they differ


def _asked(run: RunDir, check: Check, facts: dict[str, Any]) -> str:
    """How the prompts and limits of the two differ, in a phrase; the lines below the table have the details."""
    parts = ["the same prompt"] if check.our_prompt else [_shots(facts), "no system text"]
    if facts["max_new_tokens"] != run.config.eval.max_new_tokens:
        parts.append(f"{facts['max_new_tokens']} new tokens, not {run.config.eval.max_new_tokens}")
    return ", ".join(parts)


def _shots(facts: dict[str, Any]) -> str:
    return plural(facts["shots"], "worked example") if facts["shots"] else "no worked example"


def _prompt(run: RunDir, check: Check, answers: Answers) -> str:
    """How the prompts of the two differ, or, if they should be the same, whether they are."""
    if check.our_prompt:
        greedy = not run.config.eval.temperature and run.config.eval.samples == 1  # otherwise ours are sampled
        ours = {(seed, each.id): each.text for seed, side in answers.ours.items() for each in side}
        asked = {score.id: score.prompt for score in read_evaluation(run.base).scores}
        rows = [(seed, row) for seed, side in answers.theirs.items() for row in side]
        same = sum(row["prompt_hash"] == asked[row["id"]] for _, row in rows)
        alike = sum(row["completion"] == ours[seed, row["id"]] for seed, row in rows)
        return f"Prompt: ours, put by lm-eval; of its {len(rows):,} prompts {same:,} are ours token for token" + (
            f", and of its completions {alike:,} are ours to the character." if greedy else "."
        )
    source = "the training data" if plugins.task(run.config).name == TRAINING else "the same data"
    form = "through the chat template" + (", each example as a turn" if check.shots else "")
    return (
        f'Prompt: theirs asks "Question: … Answer:" behind {_shots(answers.facts[None])} of {source} '
        f"({form if check.chat else 'plain text, no chat template'}, no system text); ours asks through the chat "
        f"template behind the system text ({len(run.config.prompt.system):,} characters), without an example."
    )


def _differs(run: RunDir, material: Material, facts: dict[int | None, dict[str, Any]]) -> Iterator[str]:
    """A line for each other way in which lm-eval's evaluation differs from ours, from what both really did."""
    section, first = run.config.eval, facts[None]
    cut = {seed: found["prompts cut"] for seed, found in facts.items() if found["prompts cut"]}
    room = first["context"] - first["max_new_tokens"]
    if cut:
        counts = " and ".join(f"{count:,} of {inputs.side(seed)}'s" for seed, count in cut.items())
        yield (
            f"CUT PROMPTS: lm-eval cut the beginning off {counts} {len(material.asked):,} prompts: they have up to "
            f"{first['longest prompt']:,} tokens and {room:,} fit (a context of {first['context']:,} less "
            f"{first['max_new_tokens']} new tokens). Ask for fewer examples with --shots. Ours cuts none."
        )
    else:
        yield f"No prompt was cut: the longest of theirs has {first['longest prompt']:,} tokens, {room:,} fit."
    if first["max_new_tokens"] == section.max_new_tokens:
        ends = f"both end after {section.max_new_tokens} new tokens; theirs is judged by what it says by then"
    else:
        ends = (
            f"theirs ends after {first['max_new_tokens']} new tokens and is judged by what it says by then, under our "
            f"accuracy too; ours ends after {section.max_new_tokens}"
        )
    yield f"Length: {ends}, and an answer that is cut is wrong, but not to lm-eval's rules."
    stops = ", ".join(f"`{stop}`" for stop in first["stops"])
    yield f"End: theirs ends also where a completion says one of {stops}."
    if section.temperature or section.samples > 1:
        yield (
            f"Sampling: theirs is greedy, one completion a question; ours draws "
            f"{plural(section.samples, 'completion')} a question at temperature {section.temperature:g}."
        )
    named = "asks for" if "####" in run.config.prompt.system else "does not name"
    yield (
        "Extraction: theirs takes the first `#### N` (strict-match) or the last number (flexible-extract) and compares "
        f"characters; ours takes the `{run.config.prompt.tags.solution_start}` block, without one the answer that the "
        f"text names or its last number, and compares numbers. Our system text {named} `####`."
    )


# --- the page


def draw(numbers: Crosscheck) -> str:
    """The table and its notes as Markdown."""
    return visible("\n".join(_lines(numbers))) + "\n"


def _lines(numbers: Crosscheck) -> Iterator[str]:
    yield f"# Crosscheck of {one_line(numbers.run)}"
    # Seven short columns, so that the table fits into a terminal of 80 characters.
    head = ("answers", "judged by", "base", "tuned", "points", "mid-p", "verdict")
    for table in numbers.tables:
        asked = plural(numbers.n, "question")
        yield f"\n**lm-eval's {numbers.task or TRAINING} and our evaluation: {asked}, seed {table.seed}**\n"
        yield from markdown.table_lines(head, map(_cells, table.rows))
        yield "\n" + "  \n".join(f"{row.completions}, {_rule(row)}: {row.why}" for row in table.rows)
        yield from _apart(table.rows)
        yield from _silent(table.rows)
    methods = sorted({row.base.method for table in numbers.tables for row in table.rows})
    yield f"\n95% intervals: of rates {' and '.join(methods)}; of differences, in points, paired question by question."
    yield from (f"\n{line}" for line in numbers.differs)
    for each in numbers.agreement:
        yield from _agreed(each)


def _cells(row: Row) -> tuple[str, ...]:
    d = row.difference
    rule = _rule(row).replace("-match", " match").replace("-extract", " extract")  # so that a narrow column can wrap it
    return (row.completions, rule, rate_text(row.base), rate_text(row.tuned), points(d), spell_p(d.mid_p), d.kind)


def _rule(row: Row) -> str:
    return row.rule if row.rule == ACCURACY else f"lm-eval {row.rule}"


def _apart(rows: Sequence[Row]) -> Iterator[str]:
    """A bold line if lm-eval's own number and ours are both detected with opposite signs."""
    ours = rows[0].difference
    theirs = [(row.rule, row.difference) for row in rows if row.completions == THEIRS and row.rule in FILTERS]
    apart = [
        f"{rule} {points(d)}"
        for rule, d in theirs
        if d.kind == ours.kind == "detected" and d.direction != ours.direction
    ]
    if apart:
        yield f"\n**THE SIGN IS ANOTHER UNDER LM-EVAL: ours {points(ours)}, {'; '.join(apart)}.**"


def _silent(rows: Sequence[Row]) -> Iterator[str]:
    """A line if the models have nothing right under lm-eval: then the table says nothing about how it asks them."""
    if not any(row.base.value or row.tuned.value for row in rows if row.completions == THEIRS):
        yield (
            "\nNeither model has one answer right when lm-eval asks, so this table cannot tell whether lm-eval loads "
            "and asks them as it should: --our-prompt can, and --chat is for models that know their chat template only."
        )


def _agreed(each: Agreement) -> Iterator[str]:
    name, checked = f"lm-eval {each.filter}", f"{each.checked:,}"
    if not each.mismatches:
        yield f"\n{name}: the scorer panel's rule and lm-eval's own code agree on all {checked} completions above."
        return
    yield (
        f"\n**{name}: THE SCORER PANEL'S RULE AND LM-EVAL'S OWN CODE DISAGREE on {each.mismatches:,} of {checked} "
        f"completions**, such as:"
    )
    for example in each.examples:
        theirs, own = (
            f"{one_line(str(ruling.extracted))} ({'right' if ruling.correct else 'wrong'})"
            for ruling in (example.lm_eval, example.panel)
        )
        yield f"\n{example.whose}, problem {example.id}: lm-eval {theirs}, panel {own}"
        yield from markdown.fenced(example.text)
