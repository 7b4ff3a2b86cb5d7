"""How hours are spent: the best of the designs that fit, by measured times only."""

from __future__ import annotations

import itertools
import json
import shutil

import pytest

from harness.config import loading
from harness.cost import budget, estimate, measured, memory, rates
from harness.cost.budget import Design
from harness.cost.estimate import Pace
from harness.run.__main__ import main
from harness.runs import directory
from harness.util import files
from harness.util.errors import HarnessError
from tests.cost.test_cost import DATA, H200, configured

PACE = Pace(training=1800, start=60, completion=0.5, source="a measurement")


def test_the_best_design_fits_and_none_that_fits_detects_less():
    for hours, seeds in itertools.product((1, 3, 12), ((1,), budget.SEEDS[1:])):
        found = budget.best(PACE, hours, (1319,), seeds)
        fitting = [
            design
            for design in itertools.starmap(Design, itertools.product((1319, 659, 329, 164, 82), budget.SAMPLES, seeds))
            if design.seeds * 1800 + 120 + (1 + design.seeds) * design.questions * design.samples * 0.5 <= hours * 3600
        ]
        effects = [design.detects for design in fitting if design.detects]
        assert (found is None) == (not effects)
        if found:
            assert found in fitting and found.detects == pytest.approx(min(effects), abs=1e-6)
    assert budget.best(PACE, 0.1, (1319,), (1,)) is None


def test_further_tasks_take_their_time_and_the_limit_is_of_each():
    one = budget.best(PACE, 1, (1319,), (1,))
    assert budget.best(PACE, 1, (1319, 0), (1,)) == one == Design(1319, 1, 1)
    seconds = 1800 + 120 + 2 * 0.5 * (1319 + 400)
    assert seconds > 3600 > 1800 + 120 + 2 * 0.5 * (659 + 400)
    assert budget.best(PACE, 1, (1319, 400), (1,)) == Design(659, 1, 1)
    assert budget.best(PACE, 1, (1319, 10_000), (1,)) == Design(659, 1, 1)  # with eval.limit=659: 659 of each
    assert budget.best(PACE, (seconds + 1) / 3600, (1319, 400), (1,)) == Design(1319, 1, 1)


def test_more_of_anything_detects_smaller_differences():
    whole = Design(1319, 1, 1).detects
    assert Design(1319, 4, 1).detects < whole < Design(659, 1, 1).detects
    assert Design(1319, 1, 8).detects < Design(1319, 1, 3).detects
    assert Design(1319, 1, 3).stated > Design(1319, 1, 3).detects


def test_the_lines_say_what_is_assumed_and_what_does_not_fit():
    text = "\n".join(budget.lines(PACE, 1, (1319,)))
    assert "if 10% of the questions change with one sample each, 50% of that by chance" in text
    assert "times as in a measurement" in text and "train.seeds" in text
    assert (
        "- one training, so about this checkpoint alone: 1,319 questions x 1 sample x 1 seed, 0.90 h, detect ≥ " in text
    )
    assert (
        "- several, so about trainings like these: nothing that detects a difference; 3 with 32 questions take" in text
    )
    (unknown,) = budget.lines(None, 2, (1319,))
    assert "How to spend 2 h is not known" in unknown and "Run it once" in unknown


def test_on_a_measured_gpu_the_times_are_those_of_the_table(monkeypatch):
    config = configured("qwen2_5_0p5b")
    monkeypatch.setattr(memory, "parameters", lambda config: rates.QWEN)
    found = estimate.pace(config, [H200])
    assert found.training == pytest.approx(33 + 4.2 + (config.train.steps - 1) * 2.3)
    assert (found.start, found.completion) == (147, config.eval.max_new_tokens / 23_200)
    assert estimate.pace(config, []) is None
    seeds = len(config.train.seeds)
    said = "\n".join(estimate.lines(config, DATA, [H200]))
    whole = found.run(1319, 1, seeds) + config.eval.noise_floor * 1319 * found.completion
    assert f"Together about {whole / 3600:.2f} h." in said
    more = whole + (1 + seeds) * 90_000 * found.completion
    assert f"Together about {more / 3600:.2f} h." in "\n".join(estimate.lines(config, DATA, [H200], 90_000))


def test_a_finished_run_tells_the_times_of_its_kind_alone(finished):
    config, results = directory.existing(finished).config, finished.parent
    found = measured.pace(config, [], results)
    noted = directory.existing(finished).read_manifest()
    trained, based = noted.stages["training (seed 3407)"], noted.stages["base"]
    assert found.source == f"{finished.name} in the results folder"
    assert found.completion == pytest.approx(based.seconds / based.completions)
    assert found.training == pytest.approx(noted.wall_seconds["training"])
    longer = config.model_copy(update={"train": config.train.model_copy(update={"steps": 600})})
    assert measured.pace(longer, [], results).training - found.training == pytest.approx(
        594 * trained.seconds / trained.steps
    )
    for section, setting in (("train", {"generations": 8}), ("eval", {"max_new_tokens": 9}), ("lora", {"r": 2})):
        changed = getattr(config, section).model_copy(update=setting)
        assert measured.pace(config.model_copy(update={section: changed}), [], results) is None
    assert measured.pace(config, [H200], results) is None
    assert measured.pace(config, [], results / "none") is None


def test_a_training_that_was_resumed_is_not_counted_twice(finished, tmp_path):
    run = tmp_path / finished.name
    run.mkdir()
    shutil.copy(finished / "config.yaml", run)
    noted = json.loads((finished / "manifest.json").read_text())
    trained = noted["stages"]["training (seed 3407)"]
    trained |= {"steps": 1, "seconds": 10.0, "start_seconds": 3.0}
    noted["wall_seconds"]["training"] = 100.0
    files.write_json(run / "manifest.json", noted)
    config = directory.existing(finished).config
    assert measured.pace(config, [], tmp_path).training == pytest.approx(3.0 + 10.0 * config.train.steps)


def test_of_a_run_with_several_tasks_all_their_completions_are_measured(finished, tmp_path):
    run = tmp_path / finished.name
    run.mkdir()
    shutil.copy(finished / "config.yaml", run)
    noted = json.loads((finished / "manifest.json").read_text())
    more = noted["stages"]["base"] | {"seconds": 50.0, "completions": 100, "start_seconds": 0.0}
    noted["stages"]["base, svamp"] = more
    noted["wall_seconds"]["base evaluation"] += 50
    files.write_json(run / "manifest.json", noted)
    config, before = directory.existing(finished).config, noted["stages"]["base"]
    one, both = measured.pace(config, [], finished.parent), measured.pace(config, [], tmp_path)
    assert both.start == pytest.approx(one.start)
    assert both.completion == pytest.approx((before["seconds"] + 50) / (before["completions"] + 100))


def test_a_broken_manifest_of_another_run_does_not_stop_a_plan(tmp_path):
    files.write_json(tmp_path / "broken-00000000" / "manifest.json", {"stages": 3})
    config = loading.load(loading.find_experiment("quickstart"), [])
    assert measured.pace(config, [], tmp_path) is None


def test_hours_belong_to_a_plan(tmp_path, capsys):
    place = ["--results", str(tmp_path)]
    for arguments in (["--hours", "2"], ["--dry-run", "--hours", "0"], ["--dry-run", "--hours", "inf"]):
        with pytest.raises(HarnessError, match="--hours: plans how to spend more than 0 hours"):
            main(["quickstart", *arguments, *place])
    assert main(["quickstart", "--dry-run", "--hours", "2", *place]) == 0
    assert "How to spend 2 h is not known: no run of this kind" in capsys.readouterr().out
