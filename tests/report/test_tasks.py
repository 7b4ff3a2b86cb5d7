"""The section about several tasks: rows, verdicts, kinds, time-outs and words, from run directories made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.report import summarize, summary, write
from harness.report.sections.tasks import sentence, verdict_text
from harness.stats.transfer import CARRIES, HURTS, LESS, UNDETECTED
from harness.util import files
from tests.constructed import Outcomes, evaluated, make_run

RIGHT, WRONG = "right", "wrong"


def outcomes(n: int, right: int, from_: int = 0) -> Outcomes:
    """n questions, of which so many in a row are right."""
    return [RIGHT if from_ <= number < from_ + right else WRONG for number in range(n)]


# By task: base and tuned of 200 questions each.
GAINS = {
    "gsm8k": (outcomes(200, 60), outcomes(200, 140)),
    "svamp": (outcomes(200, 60), outcomes(200, 130)),
    "gsm_symbolic_p2": (outcomes(200, 60), outcomes(200, 90)),
    "gsm_plus": (outcomes(200, 60), outcomes(200, 62)),
    "asdiv": (outcomes(200, 100), outcomes(200, 60)),
}


def benchmark(folder, **known) -> None:
    file = folder / "result.json"
    made = files.read_json(file)
    ids = [score["id"] for score in made["scores"]]
    made["benchmark"] = {"left_out": {}} | {name: make(ids) for name, make in known.items()}
    files.write_json(file, made)


@pytest.fixture(params=[1, 3])
def run(request, tmp_path):
    seeds = list(range(request.param))
    names = list(GAINS)
    own = GAINS["gsm8k"]
    run = make_run(tmp_path, own[0], dict.fromkeys(seeds, own[1]) if seeds[1:] else own[1], f"eval.tasks={names}",
                   *([] if seeds[1:] else ["train.seeds=[0]"]))  # fmt: skip
    for each in run.further:
        base, tuned = GAINS[each.task]
        sides = {each.base: base} | {each.tuned(seed): _moved(tuned, seed) for seed in seeds}
        for side, answered in sides.items():
            evaluated(side, answered)
            known = {"left_out": lambda ids: {"the answer is words": 3}}
            if each.task == "gsm_symbolic_p2":
                known["clusters"] = lambda ids: {key: f"template {n % 40}" for n, key in enumerate(ids)}
            if each.task == "gsm_plus":
                known["kinds"] = lambda ids: {
                    key: "digit expansion" if n < 80 else "other" for n, key in enumerate(ids)
                }
            benchmark(side, **known)
    return run


def _moved(tuned: Outcomes, seed: int) -> Outcomes:
    """One question more or less right by seed, so that trainings vary a little."""
    last = max(number for number, outcome in enumerate(tuned) if outcome == RIGHT)
    return [RIGHT if number <= last + seed - 1 else WRONG for number in range(len(tuned))]


def test_verdicts_come_from_tests_alone(run):
    write.write(run)
    found = summary.read(run.path).transfer
    first, *further = found.tasks
    assert (first.name, first.verdict, first.against, first.gain.p_holm) == ("gsm8k", None, None, None)
    verdicts = {task.name: task.verdict for task in further}
    assert verdicts == {
        "svamp": CARRIES,
        "gsm_symbolic_p2": f"{CARRIES}, but {LESS}",
        "gsm_plus": LESS,
        "asdiv": HURTS,
    }
    by_name = {task.name: task for task in further}
    assert by_name["gsm_symbolic_p2"].gain.clusters == 40 and by_name["svamp"].gain.clusters is None
    assert [kind.kind for kind in by_name["gsm_plus"].kinds] == ["digit expansion", "other"]
    assert sum(kind.difference.n for kind in by_name["gsm_plus"].kinds) == 200
    for task in further:
        assert task.gain.p_holm >= task.gain.p and task.against.p_holm >= task.against.p
        assert task.gain.value == pytest.approx(task.gain.tuned - task.gain.base)
        assert (task.gain.per_seed is None) == (len(run.config.train.seeds) == 1)
    assert found.sentence == (
        "Beyond tiny, the gain carries to svamp; carries, but is less, on gsm_symbolic_p2; is less, and by itself "
        "not detected, on gsm_plus; turns into a loss on asdiv."
    )


def test_the_texts_say_the_same_on_both_pages(run):
    write.write(run)
    numbers = summary.read(run.path)
    report, page = run.report.read_text(), run.page.read_text()
    for text in (
        numbers.transfer.sentence,
        "There is no mean over tasks",
        "made from GSM8K's test questions",
        "svamp: 3 published questions are left out (the answer is words).",
        "ChilleD/SVAMP, commit 5e0bf1e5e7c0, MIT",
    ):
        assert text in report and text.replace("'", "&#39;") in page
    assert "| svamp | carries | 200 | 30.0% |" in report
    assert "| gsm_symbolic_p2 | carries, but less here | 200 in 40 clusters |" in report
    assert "| digit expansion | 80 |" in report and 'id="other-tasks"' in page
    assert "gsm_symbolic_p2: +" in (run.plots / "tasks.svg").read_text()


def test_without_a_gain_on_the_first_task_nothing_carries(tmp_path):
    own, other = (outcomes(100, 50), outcomes(100, 51)), (outcomes(100, 20), outcomes(100, 60))
    run = make_run(tmp_path, *own, "eval.tasks=[gsm8k, svamp, asdiv]", "train.seeds=[0]")
    for each in run.further:
        for side, answered in zip((each.base, each.tuned(0)), other if each.task == "svamp" else own, strict=True):
            evaluated(side, answered)
    found = summarize.summarize(run).transfer
    assert found.sentence == (
        "On tiny no gain is detected; of the further tasks, accuracy rose on svamp; is not detected to have changed "
        "on asdiv."
    )
    first, svamp, asdiv = found.tasks
    assert verdict_text(svamp, first) == "rose"
    for per_seed, why in (
        ((0.01, 0.3), "two seeds do not bound"),
        ((0.01, 0.01, 0.01), "too few questions changed"),
        ((0.01, 0.3, -0.3), "the trainings vary too much"),
    ):
        assert why in verdict_text(replace(asdiv, gain=replace(asdiv.gain, per_seed=per_seed)), first)
    assert asdiv.verdict == UNDETECTED and "too few questions changed" in verdict_text(asdiv, first)


def pair(gained: int, lost: int, n: int) -> tuple[Outcomes, Outcomes]:
    same = [RIGHT] * (n - gained - lost)
    return [WRONG] * gained + [RIGHT] * lost + same, [RIGHT] * gained + [WRONG] * lost + same


@pytest.mark.parametrize(
    ("own", "other", "said"),
    [
        # Borderline, with an exact p of .050: no claim is made of the same numbers on either task.
        (pair(22, 10, 400), pair(22, 10, 400), "no gain is detected; of the further tasks, accuracy is not detected"),
        (pair(48, 32, 600), pair(32, 48, 600), "no gain is detected; of the further tasks, accuracy did worse than on"),
        (pair(10, 90, 400), pair(60, 10, 400), "accuracy fell; of the further tasks, accuracy rose on svamp."),
    ],
)
def test_the_words_are_those_of_the_first_sentence(tmp_path, own, other, said):
    run = make_run(tmp_path, *own, "eval.tasks=[gsm8k, svamp]", "train.seeds=[0]")
    (each,) = run.further
    for side, answered in zip((each.base, each.tuned(0)), other, strict=True):
        evaluated(side, answered)
    numbers = summarize.summarize(run)
    assert numbers.transfer.sentence.startswith(f"On tiny {said}")
    assert (numbers.verdict.kind == "detected") == ("fell" in said)


def test_over_several_trainings_a_kind_of_a_single_question_has_no_row(tmp_path):
    own = outcomes(60, 30)
    run = make_run(tmp_path, own, {1: outcomes(60, 40), 2: outcomes(60, 41)}, "eval.tasks=[gsm8k, gsm_plus]")
    (each,) = run.further
    for side in (each.base, each.tuned(1), each.tuned(2)):
        evaluated(side, own)
        benchmark(side, kinds=lambda ids: {key: "other" if n else "digit expansion" for n, key in enumerate(ids)})
    write.write(run)
    assert "| other | 59 |" in run.report.read_text() and "| digit expansion |" not in run.report.read_text()
    assert "gsm_plus: 1 question of a kind with no other: no row" in run.report.read_text()


def test_the_first_task_is_named_by_its_data(tmp_path):
    for data, name in (("tiny", "tiny"), ("openai/gsm8k", "gsm8k")):
        own = outcomes(100, 50), outcomes(100, 51)
        run = make_run(tmp_path / name, *own, "eval.tasks=[gsm8k, gsm_plus]", "train.seeds=[0]", f"data.path={data}")
        for each in run.further:
            evaluated(each.base, own[0])
            evaluated(each.tuned(0), own[1])
        write.write(run)
        report = run.report.read_text()
        assert f"On {name} no gain is detected" in report and f"| {name} | the first task | 100 |" in report
        assert "it is made from GSM8K's test questions" in report


def test_an_undetected_task_says_what_it_would_detect(tmp_path):
    base, tuned = outcomes(200, 100), outcomes(200, 100, from_=20)
    run = make_run(tmp_path, base, tuned, "eval.tasks=[gsm8k, svamp]", "train.seeds=[0]")
    for each in run.further:
        evaluated(each.base, base)
        evaluated(each.tuned(0), tuned)
    first, svamp = summarize.summarize(run).transfer.tasks
    assert verdict_text(svamp, first) == f"undetected, detects ≥ {100 * svamp.detectable:.1f} points"
    assert 0.05 < svamp.detectable < 0.2


def test_a_task_whose_uncorrected_interval_excludes_0_is_said_to_be_corrected(run):
    first, *further = summarize.summarize(run).transfer.tasks
    task = replace(further[0], verdict=UNDETECTED)
    found = [first, replace(task, gain=replace(task.gain, low=0.01)), *further[1:]]
    said = f"corrected for the {len(further)} further tasks: by itself the change on {task.name} would be detected."
    assert sentence(found).endswith(said)
    found[1] = replace(task, gain=replace(task.gain, low=-0.01, high=0.02))
    assert "corrected" not in sentence(found)


def test_answers_that_could_not_be_judged_are_counted(tmp_path):
    pytest.importorskip("math_verify", reason='needs pip install -e ".[math]"')
    from harness.tasks.benchmarks.math500 import TIMED_OUT

    base, tuned = outcomes(100, 50), outcomes(100, 80)
    run = make_run(tmp_path, base, tuned, "eval.tasks=[gsm8k, math500]", "train.seeds=[0]")
    (each,) = run.further
    for side, answered in ((each.base, base), (each.tuned(0), tuned)):
        evaluated(side, answered)
    file = each.tuned(0) / "result.json"
    made = files.read_json(file)
    for score in made["scores"][-2:]:
        score["why"] = TIMED_OUT
    files.write_json(file, made)
    write.write(run)
    assert summary.read(run.path).transfer.tasks[1].time_outs == (0, 2)
    assert "math500: 0 of the base's and 2 of the tuned answers could not be judged: wrong." in run.report.read_text()


def test_with_one_task_nothing_is_said_of_others(tmp_path):
    run = make_run(tmp_path, *GAINS["gsm8k"])
    write.write(run)
    assert "transfer" not in files.read_json(run.summary) and "Other tasks" not in run.report.read_text()
