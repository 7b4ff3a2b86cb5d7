"""summary.json beyond one seed and one sample: every number is that of the statistics modules on the same scores."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from harness.report import __main__ as report_command
from harness.report import summary, write
from harness.report.summarize import summarize
from harness.report.summary import Flow, Summary
from harness.runs import directory
from harness.runs.comparable import check_conditions
from harness.runs.results import read_evaluation
from harness.stats import paired, pass_at_k, power, rates, seeds, sensitivity
from harness.util import files, typed
from harness.util.cli import exit_code
from harness.util.errors import HarnessError
from tests.conftest import ROOT
from tests.constructed import PROOF, evaluated, make_run, reported, result

BASE = ["right"] * 50 + ["right, no format"] * 20 + ["wrong"] * 30
TUNED = {
    5: ["right"] * 85 + ["wrong"] * 15,
    6: ["right"] * 60 + ["wrong"] * 10 + ["right"] * 20 + ["wrong, no format"] * 10,
    7: ["right"] * 78 + ["wrong, cut"] * 4 + ["wrong"] * 18,
}
FOUR = [("right", "right", "wrong", "nothing")] * 30 + [("wrong", "wrong", "right", "right, cut")] * 30
FOUR_TUNED = [("right",) * 4] * 20 + FOUR[20:50] + [("right, no format", "right", "nothing", "wrong")] * 10


def accuracy(outcomes):
    return np.array([outcome in ("right", "right, no format") for outcome in outcomes], dtype=float)


def values(numbers):
    """As JSON, from here and back: nothing is lost, every field holds what it says, and no NaN."""
    assert typed.parse(Summary, files.as_json(typed.plain(numbers)).encode(), "here") == numbers
    return numbers


# ---- several seeds


@pytest.fixture(scope="module")
def of_seeds(tmp_path_factory):
    return values(summarize(make_run(tmp_path_factory.mktemp("seeds"), BASE, TUNED)))


def test_three_seeds_are_combined_and_stand_by_themselves(of_seeds):
    base, tuned = accuracy(BASE), np.stack([accuracy(outcomes) for outcomes in TUNED.values()])
    expected = seeds.over_seeds(base, tuned)
    found = of_seeds.difference.accuracy
    assert (found.value, found.low, found.high) == (expected.estimate, expected.low, expected.high)
    assert (found.p, found.method) == (expected.p, seeds.OVER_SEEDS)
    assert (found.se_question, found.se_seed) == (expected.se_question, expected.se_seed)
    assert found.per_seed == pytest.approx((0.15, 0.10, 0.08))
    assert [getattr(found, name) for name in ("gained", "lost", "mid_p", "exact_p")] == [None] * 4
    assert found.detectable == power.detectable(expected)
    for entry, (seed, outcomes) in zip(of_seeds.seeds, TUNED.items(), strict=True):
        alone = paired.paired_difference(base, accuracy(outcomes))
        single = entry.difference.accuracy
        assert (entry.seed, single.value, single.low) == (seed, alone.estimate, alone.low)
        assert (single.gained, single.lost, single.mid_p) == (alone.gained, alone.lost, alone.mid_p)
    assert [entry.difference.accuracy.gained for entry in of_seeds.seeds] == [15, 20, 8]


def test_every_seed_has_its_own_proof_and_training(tmp_path):
    run = make_run(tmp_path, BASE, TUNED)
    for number, seed in enumerate(TUNED):
        files.write_json(run.tuned(seed) / "proof.json", PROOF | {"modules": 28 + number, "content": "c"})
    found = summarize(run)
    proven = [(entry.proof.modules, entry.train.seed) for entry in found.seeds]
    assert proven == [
        (28, 5),
        (29, 6),
        (30, 7),
    ]
    assert found.proof == found.seeds[0].proof


def test_over_seeds_rates_and_parts_are_means_and_the_parts_add_up(of_seeds):
    tuned = np.stack([accuracy(outcomes) for outcomes in TUNED.values()])
    rate = of_seeds.tuned.accuracy
    assert rate.value == pytest.approx(tuned.mean())
    expected = seeds.mean(tuned)
    assert (rate.low, rate.high, rate.method) == (expected.low, expected.high, seeds.OVER_SEEDS)
    assert of_seeds.tuned.format.low >= 0 and of_seeds.tuned.format.high <= 1
    assert of_seeds.base.accuracy.method == "Wilson"
    parts = of_seeds.decomposition
    together = parts.mathematics.value + parts.readability.value + parts.format.value
    assert together == pytest.approx(of_seeds.difference.strict.value, abs=1e-15)
    assert (of_seeds.tuned.completions, of_seeds.tuned.truncated) == (300, 4)
    # The base: 80 by the block (50 right), 20 by a phrase. The seeds: 100, 90 and 100 by the block; 85, 80, 78 right.
    rules = parts.by_rule
    assert (rules["solution"].tuned, rules["solution"].tuned_correct) == (290 / 3, 81)
    assert (rules["solution"].base, rules["phrase"].tuned) == (80, 10 / 3)


def test_the_verdict_of_several_seeds_is_of_their_mean(of_seeds):
    found, combined = of_seeds.verdict, of_seeds.difference.accuracy
    assert found.kind == ("detected" if combined.low > 0 else "not detected")
    assert "mean of 3 training seeds, +15.0, +10.0, +8.0" in found.sentence
    assert found.discordance is None and not found.identical


def test_seeds_without_any_change_are_a_warning(tmp_path):
    found = summarize(make_run(tmp_path, BASE, {1: BASE, 2: BASE})).verdict
    assert found.identical and "the training changed too little to show" in found.sentence


def test_truncation_bounds_over_seeds_are_of_the_mean(of_seeds):
    cut = np.zeros((3, 100))
    cut[2, 78:82] = 1
    tuned = np.stack([accuracy(outcomes) for outcomes in TUNED.values()])
    expected = sensitivity.truncation_bounds(accuracy(BASE), np.zeros(100), tuned, cut)
    found = of_seeds.truncation
    assert (found.base_cut, found.tuned_cut) == (0, pytest.approx(4 / 300))
    assert found.highest.value == expected.highest.estimate == pytest.approx(0.11 + 4 / 300)
    assert found.lowest.value == expected.scored.estimate


# ---- several samples


@pytest.fixture(scope="module")
def of_four(tmp_path_factory):
    run = make_run(tmp_path_factory.mktemp("four"), FOUR, FOUR_TUNED, "eval.samples=4", "eval.temperature=1.0")
    return values(summarize(run))


def test_pass_hat_k_and_the_majority(of_four):
    found = {entry.name: entry for entry in of_four.of_samples}
    assert list(found) == ["pass^4", "maj@4"]
    before, after = (pass_at_k.pass_hat_k(counts, 4, 4) for counts in (FOUR_BASE, FOUR_AFTER))
    expected, rate = paired.paired(before, after), rates.mean(before)
    entry = found["pass^4"]
    assert (entry.difference.low, entry.difference.mid_p) == (expected.low, expected.mid_p)
    assert (entry.base.value, entry.base.low) == (rate.value, rate.low)
    assert found["pass^4"].tuned.value == pytest.approx(20 / 60)
    # FOUR: 18, 18, 9 and nothing: right; 9, 9, 18 and a cut 18, which has no vote: wrong. Then 18, 18, nothing and 9.
    assert found["maj@4"].base.value == 0.5
    assert found["maj@4"].tuned.value == pytest.approx(40 / 60)


FOUR_BASE, FOUR_AFTER = np.repeat([2, 1], 30), np.repeat([4, 2, 1, 2], [20, 10, 20, 10])


def test_pass_at_k_at_every_k_with_one_band(of_four):
    found, expected = of_four.curves, pass_at_k.band(FOUR_BASE, FOUR_AFTER, 4)
    assert [each.k for each in found.at] == [1, 2, 3, 4]
    for each, low, high in zip(found.at, expected.low, expected.high, strict=True):
        sides = (pass_at_k.pass_at_k(counts, 4, each.k).mean() for counts in (FOUR_BASE, FOUR_AFTER))
        assert (each.base, each.tuned) == (pytest.approx(next(sides)), pytest.approx(next(sides)))
        assert each.difference == pytest.approx(each.tuned - each.base, abs=1e-12)
        assert (each.low, each.high) == (low, high)
    assert found.at[0].difference == pytest.approx(of_four.difference.accuracy.value)
    assert found.constant == [4] and found.at[3].low is None  # both solve every question with four answers


def test_the_questions_newly_solved_stand_beside_those_of_chance(tmp_path):
    """30 questions with 2 of 4 right, 30 with none; after it 10 of those with none have 4, and 6 of the others none."""
    two = ("right", "right", "wrong", "wrong")
    base = [two] * 30 + [("wrong",) * 4] * 30
    tuned = [("wrong",) * 4] * 6 + [two] * 24 + [("right",) * 4] * 10 + [("wrong",) * 4] * 20
    run = make_run(tmp_path, base, tuned, "eval.samples=4", "eval.temperature=1.0")
    evaluated(run.again, tuned)
    found = summarize(run).curves.newly
    assert (found.solved, found.lost, found.again_solved, found.again_lost) == (10, 6, 10, 6)
    # Two of the four: both wrong in 1 of 6 draws, and then the other two are right.
    assert (found.drawn, found.by_chance) == (2, pytest.approx(30 / 6))
    # 24 unchanged as by chance, the 10 always; of the 6 that were lost 5 in 6 draws have a right answer of the base.
    assert found.solved_of_drawn == pytest.approx(24 / 6 + 10)
    assert found.lost_of_drawn == pytest.approx(6 * 5 / 6 + 24 / 6)
    assert found.solved_beyond.value == pytest.approx((found.solved_of_drawn - 5) / 60)
    assert found.lost_beyond.value == pytest.approx((found.lost_of_drawn - 5) / 60)


def test_over_seeds_the_curves_are_those_of_the_mean(tmp_path):
    other = [("right",) * 4] * 60
    run = make_run(tmp_path, FOUR, {1: FOUR_TUNED, 2: other}, "eval.samples=4", "eval.temperature=1.0")
    found = summarize(run).curves
    assert found.at[0].tuned == pytest.approx((FOUR_AFTER.mean() / 4 + 1) / 2)
    assert found.at[0].high == pass_at_k.band(FOUR_BASE, np.stack([FOUR_AFTER, np.full(60, 4)]), 4).high[0]
    assert found.newly.solved == 0


def test_one_sample_and_one_seed_have_neither(tmp_path):
    found = values(summarize(make_run(tmp_path, BASE, TUNED[5])))
    assert (found.of_samples, found.curves, found.seeds, found.noise_floor, found.several) == (None,) * 4 + (0,)
    assert not typed.plain(found).keys() & {"of_samples", "curves", "seeds", "noise_floor", "curve"}


def test_equal_answers_of_several_samples_have_no_interval_of_zero_width(tmp_path):
    run = make_run(tmp_path, [("wrong", "wrong")] * 40, [("right", "right")] * 40, "eval.samples=2",
                   "eval.temperature=1.0")  # fmt: skip
    found = summarize(run)
    assert found.base.accuracy.high > 0 and found.tuned.accuracy.low < 1


def test_more_samples_than_the_exact_bootstrap_takes(tmp_path):
    """200 samples a question, i·3 right of the base's and i·4 of the tuned model's for i = 0 … 29: no small lattice."""
    sides = [[("right",) * (i * step) + ("wrong",) * (200 - i * step) for i in range(30)] for step in (3, 4)]
    run = make_run(tmp_path, *sides, "eval.samples=200", "eval.temperature=1.0")
    evaluated(run.again, sides[1])
    found = values(summarize(run))
    base, tuned = (np.arange(30) * step / 200 for step in (3, 4))
    expected = paired.paired(base, tuned)
    assert expected.method == paired.SEEDED_WITH_TWO_MORE  # nobody lost
    for entry in (found.difference.accuracy, found.decomposition.mathematics):
        assert (entry.value, entry.low, entry.mid_p) == (expected.estimate, expected.low, expected.mid_p)
    assert found.base.accuracy.low == rates.mean(base).low


# ---- the rest


def test_truncation_bounds_of_one_seed(tmp_path):
    base, tuned = ["right"] * 60 + ["wrong"] * 40, ["right"] * 70 + ["wrong, cut"] * 20 + ["wrong"] * 10
    found = summarize(make_run(tmp_path, base, tuned)).truncation
    assert (found.tuned_cut, found.lowest.value, found.highest.value) == (0.2, 0.1, 0.3)
    cut = ["right"] * 60 + ["right, cut"] * 20 + ["wrong"] * 20
    found = summarize(make_run(tmp_path / "sign", cut, tuned[:70] + ["wrong"] * 30)).truncation
    assert (found.base_cut, found.lowest.value) == (0.2, pytest.approx(-0.1))


def test_the_base_evaluated_again_is_the_noise_floor(tmp_path):
    run = make_run(tmp_path, BASE, TUNED[5])
    again = ["wrong"] * 2 + BASE[2:70] + ["right"] + BASE[71:]
    evaluated(run.again, again)
    found = values(summarize(run)).noise_floor
    expected = sensitivity.noise_floor(accuracy(BASE), accuracy(again))
    assert (found.accuracy.flipped, found.accuracy.rate) == (3, 0.03)
    assert found.accuracy.sentence == expected.sentence()
    assert (found.accuracy.difference.gained, found.accuracy.difference.lost) == (1, 2)
    assert found.format.flipped == 0
    evaluated(run.again, again[:50])
    with pytest.raises(HarnessError, match=r"base and again were evaluated under different conditions \(data: "):
        summarize(run)
    renamed = result(again)
    renamed["scores"][0]["prompt"] = "other"
    files.write_json(run.again / "result.json", renamed)
    with pytest.raises(HarnessError, match="base and again answered different questions; delete again/"):
        summarize(run)
    evaluated(run.again, again, engine="transformers 99")
    with pytest.raises(HarnessError, match=r"base and again .*transformers 99\); delete again/ and leave"):
        summarize(run)


def test_where_the_scorer_alone_differs_no_completion_is_to_be_deleted(tmp_path):
    run = make_run(tmp_path, BASE, TUNED[5])
    before = read_evaluation(run.base).conditions
    other = replace(before, scorer="0")
    tuned = (run.tuned(run.config.train.seeds[0]) / "result.json").rename(tmp_path / "tuned.json")
    with pytest.raises(HarnessError, match=r"delete the result\.json of both, keep the completions, and run again"):
        check_conditions(run, before, other)
    tuned.rename(run.tuned(run.config.train.seeds[0]) / "result.json")
    with pytest.raises(HarnessError, match=r"\(scorer: \d+ and 0\); python -m harness\.rescore .* scores both again"):
        check_conditions(run, before, other)
    with pytest.raises(HarnessError, match=r"\(precision: fp32 and bf16\); delete base/ and tuned/ and run again"):
        check_conditions(run, before, replace(other, precision="bf16"))


def test_with_several_samples_flows_are_of_two_drawn_at_random(tmp_path):
    """One question: the base has one right, one wrong, one unmarked and wrong, one cut; the tuned model two right."""
    base = [("right", "wrong", "wrong, unmarked", "right, cut")]
    tuned = [("right", "right, unmarked", "nothing", "wrong")]
    flows = summarize(make_run(tmp_path, base, tuned, "eval.samples=4", "eval.temperature=1.0")).decomposition.flows
    one = 1 / 16
    assert flows.marked == Flow(one, one, one, 0) and flows.none == Flow(0, 0, one, 0)
    assert flows.unmarked == flows.cut == Flow(one, one, 0, 0)


def test_over_seeds_flows_are_means(of_seeds):
    flows = of_seeds.decomposition.flows
    assert (flows.marked.gained_marked, flows.cut.lost_marked) == (pytest.approx((15 + 20 + 8) / 3), 0)


def test_the_hint_to_the_adapter_needs_every_verdict_unchanged(tmp_path):
    same = summarize(make_run(tmp_path / "same", BASE, BASE)).verdict
    assert same.identical and "Every completion has the base's answer and length" in same.sentence
    assert "only if all changes go in one direction: ≥ 7.79 points" in same.sentence
    moved = [*BASE[:49], "right, no format", *BASE[50:]]
    other = summarize(make_run(tmp_path / "other", BASE, moved)).verdict
    assert not other.identical and "Not one of 100 questions changed." in other.sentence
    assert "Every completion" not in other.sentence


def test_seeds_of_a_single_question_are_refused_and_odd_runs_are_not(tmp_path):
    with pytest.raises(HarnessError, match="at least 2 questions"):
        summarize(make_run(tmp_path / "one", ["right"], {1: ["right"], 2: ["wrong"]}))
    four = ("eval.samples=4", "eval.temperature=1.0")
    nothing, all_cut = ("nothing",) * 4, ("right, cut",) * 4
    for number, (base, tuned) in enumerate(
        [
            (["right"], ["wrong"]),
            ([nothing], [all_cut]),
            ([nothing] * 2, {1: [all_cut] * 2, 2: [("right",) * 4] * 2}),
            (FOUR, {1: FOUR_TUNED, 2: FOUR}),
        ]
    ):
        settings = four if number else ()
        run = reported(tmp_path / str(number), base, tuned, *settings)
        assert values(summary.read(run.path)).n == len(base)


def test_the_base_weights_are_those_that_the_run_pinned(tmp_path):
    run = make_run(tmp_path, BASE, BASE)
    assert summarize(run).base_weights is None
    run.pin({"base weights": "b" * 64})
    assert summarize(run).base_weights == "b" * 64


def test_summaries_are_plain_and_the_same_every_time(tmp_path):
    first, second = (reported(tmp_path / name, BASE, TUNED) for name in "ab")
    assert first.summary.read_bytes() == second.summary.read_bytes()
    assert first.page.read_bytes() == second.page.read_bytes()


# ---- the file


COMMITTED = sorted(file.parent.name for file in (ROOT / "results/reference").glob("*/summary.json"))


@pytest.mark.parametrize("name", COMMITTED)
def test_the_committed_summaries_are_read_and_written_again_to_the_same_bytes(name):
    folder = ROOT / "results/reference" / name
    content = (folder / "summary.json").read_bytes()
    assert files.as_json(typed.plain(summary.read(folder))).encode() == content


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A run with all that a summary can hold: seeds, samples, a noise floor."""
    settings = ("eval.samples=4", "eval.temperature=1.0")
    run = make_run(tmp_path_factory.mktemp("drawn"), FOUR, {1: FOUR_TUNED, 2: FOUR}, *settings)
    evaluated(run.again, FOUR)
    write.write(run)
    return run


def test_what_is_written_is_read(drawn):
    numbers = summary.read(drawn.path)
    assert numbers == summarize(drawn) and numbers.several == 2
    assert files.as_json(typed.plain(numbers)) == drawn.summary.read_text()


def at(numbers, path):
    """The dict or list in which the last name of the path stands, and that name."""
    *parents, name = [int(part) if part.isdigit() else part for part in path.split(".")]
    for parent in parents:
        numbers = numbers[parent]
    return numbers, name


@pytest.mark.parametrize(
    "path",
    ["n", "conditions.engine", "difference.accuracy.se_seed", "decomposition.by_rule.solution.base",
     "decomposition.flows.cut", "panel.scorers.2.reads", "truncation.highest.p", "noise_floor.format.rate",
     "of_samples.1.name", "curves.at.2.k", "curves.newly.lost",
     "proof.scale", "seeds.1.difference.strict.gained", "seeds.0.proof.modules",
     "verdict.sentence", "tuned.adapter"],
)  # fmt: skip
def test_a_summary_without_a_field_is_one_line_and_the_report_makes_it_again(drawn, tmp_path, capsys, path):
    run = directory.existing(shutil.copytree(drawn.path, tmp_path / drawn.path.name))
    numbers = files.read_json(run.summary)
    holder, name = at(numbers, path)
    del holder[name]
    files.write_json(run.summary, numbers)
    assert exit_code(lambda: write.show(run)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{run.summary}: {path} is missing (damaged, or written by another version)" in line
    assert line.endswith(f"; python -m harness.report {run.path} writes it again")
    assert report_command.main([str(run.path)]) == 0
    assert run.summary.read_bytes() == drawn.summary.read_bytes()


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("samples", "four", "samples: found 'four', expected a valid integer"),
        ("difference.strict.p", None, "difference.strict.p: found None, expected a valid number"),
        ("difference.strict", [], "difference.strict: found [], expected an object"),
        ("seeds.0.tuned.tags.low", "0.1", "seeds.0.tuned.tags.low: found '0.1', expected a valid number"),
        ("seeds.0.proof", None, "seeds.0.proof: found None, expected an object"),
    ],
)
def test_a_summary_that_holds_something_else_is_one_line(drawn, tmp_path, path, value, said):
    numbers = files.read_json(drawn.summary)
    holder, name = at(numbers, path)
    holder[name] = value
    files.write_json(tmp_path / "summary.json", numbers)
    with pytest.raises(HarnessError) as refused:
        summary.read(tmp_path)
    assert str(refused.value).startswith(f"{tmp_path / 'summary.json'}: {said}") and "\n" not in str(refused.value)


def test_what_is_not_json_or_not_there_is_one_line(tmp_path):
    with pytest.raises(HarnessError, match=r"summary\.json: missing"):
        summary.read(tmp_path)
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(HarnessError, match=r"summary\.json: not JSON .* writes it again"):
        summary.read(tmp_path)
