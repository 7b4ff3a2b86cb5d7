"""The model card of an export: the report's verdict and tables, how they were measured, and the export's check."""

from __future__ import annotations

from collections.abc import Iterator

from harness.config import card
from harness.export.record import Export
from harness.report import document
from harness.report.document import Figure
from harness.report.markdown import block_lines
from harness.report.sections import results
from harness.report.summary import Summary
from harness.report.wording import demo, identity_line, points
from harness.runs.directory import RunDir


def text(run: RunDir, numbers: Summary, export: Export) -> str:
    """The card in Markdown, with the hub's front matter.

    numbers: the run's summary. export: the contents of export.json.
    """
    library = "transformers" if export.to == "merged" else "gguf"
    return card.text(card.front(run.config, library, "finetune"), _body(run, numbers, export))


def _body(run: RunDir, numbers: Summary, export: Export) -> Iterator[str]:
    config = run.config
    yield f"# {run.path.resolve().name}"
    yield f"\nTrained with GRPO and scored before and after: {identity_line(numbers, run.read_manifest())}"
    if warned := demo(numbers.identity):
        yield f"\n**{warned}**"
    yield from _section(results.opening(run, numbers))
    if numbers.seeds:
        own = next(entry for entry in numbers.seeds if entry.seed == export.seed)
        yield (
            f"\nThe numbers above are of {numbers.several} trainings. This is that of seed {export.seed}; its "
            f"accuracy changed by {points(own.difference.accuracy)} points."
        )
    for function in (results.decomposition, results.reading):
        section = function(run, numbers)
        yield f"\n## {section.title}"
        yield from _section(section)
    yield "\n## Training\n"
    chosen = [f"- these are the weights after step {export.step}, which scored best on the dev split"]
    yield from card.training(
        config,
        export.seed,
        run.steps(export.seed),
        *(chosen if config.train.checkpoint == "best_dev" else ()),
        over=True,
    )
    yield "\n## This export\n"
    yield from kept(export)
    yield (
        f"The scores above are those of the evaluation, in {config.eval.precision}"
        + ("" if export.full else " with the adapter loaded on top of the base")
        + "; this export itself was not scored."
    )
    yield "\n## Use\n"
    yield from _use(run, export)
    yield card.LICENCE


def _section(section: document.Section) -> Iterator[str]:
    for block in section.blocks:
        if not isinstance(block, Figure):  # the plots stay with the report
            yield ""
            yield from block_lines(block)


def kept(export: Export) -> Iterator[str]:
    """The result of the check of an export, one sentence a line; for the card and the terminal."""
    yield (
        f"Merged in float32 and stored as {export.stored}."
        if not export.full
        else (f"The trained weights, stored as {export.stored}.")
    )
    if change := export.change:
        where = "" if export.full else f"{change.changed_in_targets:.2%} of the {change.targets} trained matrices and "
        yield f"Read again from the disk, {where}{change.changed:.2%} of all numbers differ from the base's."
    if found := export.check:
        yield (
            f"On {found.tokens} tokens of {found.probes} probe prompts its log-prob changes (from the base "
            f"stored in the same way) correlate {found.correlation:.4f} with those of the training, and are "
            f"{found.size:.2f} times as large; those of the training are {found.trained_change:.3g} nats on average."
        )
    else:
        yield "Its weights were not checked against the training: transformers cannot read GGUF of this architecture."


def _use(run: RunDir, export: Export) -> Iterator[str]:
    yield from card.asked_with(run.config)
    if export.to == "gguf":
        yield f"```sh\nllama-server -m {export.file} --jinja\n```\n\nThe file has only the language model."
        return
    yield (
        '```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\nfolder = "."  # this one\n'
        "tokenizer = AutoTokenizer.from_pretrained(folder)\n"
        f'model = AutoModelForCausalLM.from_pretrained(folder, dtype="{export.stored}")\n```'
    )
    if export.vision:
        yield '\nIn vLLM, for text: `LLM(folder, limit_mm_per_prompt={"image": 0})`.'
