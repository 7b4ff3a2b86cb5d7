"""lm-evaluation-harness's own task, gsm8k or gsm_plus_mini, on the questions of a run, and its verdicts on any text.

The task is the file that lm-eval ships, with its prompt, few-shot sampler, filters and metric. Only the rows are ours:
the questions that the run evaluated, and for gsm8k's worked examples the run's training data (gsm_plus_mini has its
other questions as examples). They are passed in memory, so nothing is fetched and nothing is cached.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from harness.tasks.panel import Ruling
from harness.tasks.records import Problem
from harness.util.errors import HarnessError

# By our name; other tasks of lm-eval have other filters or metrics, which the crosscheck's table does not have.
FILES = {"gsm8k": "gsm8k/gsm8k.yaml", "gsm_plus": "gsm_plus/gsm_plus_mini.yaml"}
FILTERS = ("strict-match", "flexible-extract")
NOTHING = "[invalid]"  # what lm-eval's regex filter returns if it finds nothing


def installed() -> str:
    """lm-eval's version. Raises HarnessError if it is not installed."""
    try:
        return version("lm-eval")
    except PackageNotFoundError:
        raise HarnessError('lm-evaluation-harness is not installed; pip install -e ".[crosscheck]"') from None


def build(
    asked: Sequence[Problem], examples: Sequence[Problem], shots: int, *, own: int | None = None, name: str = "gsm8k"
) -> Any:
    """The task on these questions, with worked examples drawn from `examples`: lm-eval's ConfigurableTask.

    own: for the run's own prompt, the new tokens of a completion at most, as in its evaluation; the question then
    stands alone instead of lm-eval's "Question: … Answer:". Raises HarnessError if there are fewer examples than shots.
    name: ours, a key of FILES.
    """
    import datasets
    import lm_eval
    import yaml
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.defaults import DEFAULT_OTHER_SEED

    if shots > len(examples):
        raise HarnessError(f"--shots: {shots} worked examples, but only {len(examples)} training problems; lower it")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    (folder,) = lm_eval.__path__
    with open(f"{folder}/tasks/{FILES[name]}", encoding="utf-8") as file:
        settings = yaml.safe_load(file)
    del settings["tag"]  # only for lm-eval's index of tasks
    if own is not None:
        settings["doc_to_text"] = "{{question}}"
        settings["generation_kwargs"]["max_gen_toks"] = own
    splits = {settings["fewshot_split"]: examples, settings["test_split"]: asked}
    data = datasets.DatasetDict(
        {name: datasets.Dataset.from_list([document(each) for each in problems]) for name, problems in splits.items()}
    )
    task = ConfigurableTask(config=settings | {"num_fewshot": shots, "custom_dataset": lambda **_: data})
    task.set_fewshot_seed(DEFAULT_OTHER_SEED)  # as lm-eval's command line, so the same rows give the same examples
    return task


def document(problem: Problem) -> dict[str, str]:
    """A problem as a row of GSM8K, or of GSM-Plus, whose questions have a kind and whose answers are numbers alone."""
    if problem.kind:
        return {"question": problem.question, "answer": problem.gold, "solution": problem.solution}
    return {"question": problem.question, "answer": problem.solution}


def judge(task: Any, problems: Sequence[Problem], texts: Sequence[str]) -> dict[str, list[Ruling]]:
    """lm-eval's rulings on one completion of each problem, by filter; nothing is generated."""
    from lm_eval.api.instance import Instance

    documents = [document(problem) for problem in problems]
    instances = [
        Instance("generate_until", row, ("",), 0, metadata=(task.config.task, number, 1), resps=[text])
        for number, (row, text) in enumerate(zip(documents, texts, strict=True))
    ]
    task._instances = instances
    task.apply_filters()
    return {
        name: [
            ruling(each.filtered_resps[name], task.process_results(row, [each.filtered_resps[name]]))
            for row, each in zip(documents, instances, strict=True)
        ]
        for name in FILTERS
    }


def ruling(extracted: str, metrics: dict[str, Any]) -> Ruling:
    """lm-eval's verdict on one completion in the scorer panel's terms."""
    return Ruling(None if extracted == NOTHING else extracted, bool(metrics["exact_match"]))
