"""Several training seeds, the base evaluated twice and the learning curve as stages of real runs, killed, resumed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.evaluate import __main__ as evaluate_command
from harness.evaluate import evaluation, learning_curve
from harness.models import checkpoint, registry
from harness.run import __main__ as run_command
from harness.runs import directory
from harness.runs import stages as run_stages
from harness.runs.directory import RunDir
from harness.runs.manifest import Evaluated
from harness.stats import sensitivity
from harness.tasks.benchmarks import gsm8k
from harness.train import __main__ as train_command
from harness.train import grpo
from harness.util import files
from harness.util.errors import HarnessError
from tests.conftest import SMALL, harness, made_once, refused
from tests.constructed import unsealed
from tests.e2e.test_run import data_folder, kill_when, lines

FEW, SEEDS = 16, (3407, 1)
STAGED = (
    *SMALL, f"eval.limit={FEW}", f"data.dev={FEW}", "train.steps=4", "train.save_steps=2", "train.resume_every=1",
    "train.seeds=[3407,1]", "eval.noise_floor=true", "eval.curve=true", "train.checkpoint=best_dev",
)  # fmt: skip


@pytest.fixture(scope="module")
def staged(tmp_path_factory) -> Path:
    """The run directory of a complete run with every stage, killed with -9 in the training of its second seed.

    The tests change copies of it.
    """
    (run,) = made_once(tmp_path_factory, "staged", _make).glob("quickstart-*")
    return run


def _make(results: Path) -> None:
    def second_trains(run: Path) -> bool:
        return lines(run / "train/seed-1/metrics.jsonl") >= 2

    kill_when(results, second_trains, "second training", *STAGED)
    (run,) = results.glob("quickstart-*")
    assert (run / "train/seed-3407/adapter").exists() and not (run / "train/seed-1/adapter").exists()
    done = harness("run", "exp/quickstart.yaml", *STAGED, "--results", results)
    assert done.returncode == 0, done.stderr
    said = done.stdout
    assert "[3/7] training (seed 3407): done already." in said and "[4/7] training (seed 1)\n" in said


def opened(folder: Path) -> RunDir:
    return directory.existing(folder)


def copied(folder: Path, place: Path) -> RunDir:
    """A copy of the run without its shared base evaluations."""
    shutil.copytree(folder, place / folder.name)
    return opened(place / folder.name)


def result(folder: Path) -> dict:
    return files.read_json(folder / "result.json")


# --- several training seeds


def test_a_seed_trains_alike_alone_resumed_and_after_another(staged, tmp_path):
    """The run trained each seed in its own process, the second in two; here one process trains both."""
    done = harness("train", "exp/quickstart.yaml", *STAGED, "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    (straight,) = tmp_path.glob("quickstart-*")
    weights = {}
    for seed in SEEDS:
        for name in ("adapter", "checkpoints/checkpoint-2"):
            file = f"train/seed-{seed}/{name}/adapter_model.safetensors"
            weights[seed, name] = (straight / file).read_bytes()
            assert (staged / file).read_bytes() == weights[seed, name], file
        kept = sorted(path.name for path in (staged / f"train/seed-{seed}/checkpoints").glob("checkpoint-*"))
        assert kept == ["checkpoint-2", "checkpoint-4"]
    assert len(set(weights.values())) == 4


def test_what_each_seed_took_is_kept_by_seed(staged):
    manifest = files.read_json(staged / "manifest.json")
    each = {f"training (seed {seed})" for seed in SEEDS}
    assert set(manifest["backends"]) == each
    curve = {f"curve (seed {seed}, step {step})" for seed in SEEDS for step in (0, 2, 4)}
    # The step 0 of the second seed is the first one's.
    curve.remove("curve (seed 1, step 0)")
    tuned = {f"tuned (seed {seed})" for seed in SEEDS}
    assert set(manifest["stages"]) == each | curve | tuned | {"base", "base again"}
    assert set(manifest["wall_seconds"]) == each | {"base evaluation", "learning curve", "tuned evaluation"}
    starts = [manifest["stages"][name]["start_seconds"] for name in sorted(curve)]
    assert sum(start > 0 for start in starts) == 1  # one engine for all of them


def test_a_seed_that_is_none_of_the_runs_is_refused(staged, monkeypatch):
    monkeypatch.setattr("sys.argv", ["harness.train"])
    with pytest.raises(HarnessError, match=r"--seed: 5 is not one of this run's train.seeds \(3407, 1\)"):
        train_command.main([str(staged), "--seed", "5"])


def test_vllm_rollouts_train_one_seed_a_process(tmp_path):
    overrides = ["train.backend=unsloth", "model.precision=bf16", "train.rollouts=vllm", "train.seeds=[1,2]"]
    run = directory.open_run("quickstart", overrides, tmp_path)
    with pytest.raises(HarnessError, match="one --seed at a time"):
        train_command._untrained(run, None)
    assert train_command._untrained(run, 2) == [2]
    run.adapter(1).mkdir(parents=True)
    assert train_command._untrained(run, None) == [2]


def test_the_plan_counts_trainings_and_names_the_steps(tmp_path, capsys):
    assert run_command.main(["quickstart", *STAGED, "--dry-run", "--results", str(tmp_path)]) == 0
    plan = capsys.readouterr().out
    assert "Evaluation: the first 16 of 1,200 test questions, base (twice, for the noise floor) and tuned" in plan
    assert "Training: 2 trainings (seeds 3407, 1), each of 4 steps of 2 prompts x 4 generations: 32 completions" in plan
    assert "Learning curve: 16 dev questions, base and steps 2, 4; tuned is the best of them on dev." in plan


# --- the base evaluated twice


def test_the_second_evaluation_of_the_base_differs_in_order_alone(staged):
    base, again = result(staged / "base"), result(staged / "again")
    assert again["conditions"] == base["conditions"] and again["changed"]["seed"] is None
    assert again["changed"]["order"] != base["conditions"]["prompts"]
    asked = [[(s["id"], s["sample"], s["prompt"]) for s in side["scores"]] for side in (base, again)]
    assert asked[0] == asked[1] and len(asked[0]) == FEW
    right = [[score["correct"] for score in side["scores"]] for side in (base, again)]
    assert sensitivity.noise_floor(*right).n == FEW
    order = [[row["id"] for row in files.read_lines(staged / side / "samples.jsonl")] for side in ("base", "again")]
    assert sorted(order[0]) == sorted(order[1]) and order[0] != order[1]


def test_a_base_evaluated_without_it_is_given_it_later(staged, tmp_path):
    """The noise floor is not in the digest, so that the run is the same; only the second evaluation is missing."""
    run = copied(staged, tmp_path)
    shutil.rmtree(run.again)
    assert [stage.name for stage in run_stages.stages(run) if not stage.done] == ["base again"]
    evaluation.evaluate(run, "again")
    assert (run.again / "result.json").read_bytes() == (staged / "again/result.json").read_bytes()
    without = run.config.model_copy(update={"eval": run.config.eval.model_copy(update={"noise_floor": False})})
    assert without.digest() == run.config.digest()


def test_a_base_of_another_engine_is_no_base_for_its_second_evaluation(staged, tmp_path, monkeypatch):
    run = copied(staged, tmp_path)
    shutil.rmtree(run.again)
    monkeypatch.setattr(registry, "version", lambda section, work: "the next one")
    with pytest.raises(HarnessError, match=r"base and again were .* \(engine: .* and the next one\)"):
        evaluation.evaluate(run, "again")
    assert not run.again.exists()


def test_an_experiment_with_the_same_base_repeats_neither_evaluation(staged, tmp_path):
    shutil.copytree(staged.parent / ".base", tmp_path / ".base")
    done = harness("evaluate", "quickstart", *STAGED, "lora.r=4", "--side", "base", "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "base evaluation: all 16 completions exist already, none generated" in done.stdout
    assert "base again evaluation: all 16 completions exist already, none generated" in done.stdout


def test_where_sampling_draws_the_second_evaluation_draws_anew(tmp_path):
    sampled = ["eval.limit=8", "eval.temperature=1.0", "eval.samples=2", "eval.seed=5", "eval.noise_floor=true"]
    run = directory.open_run("quickstart", sampled, tmp_path)
    evaluation.evaluate(run, "base")
    assert result(run.again)["changed"]["seed"] == 6
    assert result(run.again)["conditions"] == result(run.base)["conditions"]
    texts = [
        {(row["id"], row["sample"]): row["text"] for row in files.read_lines(folder / "samples.jsonl")}
        for folder in (run.base, run.again)
    ]
    assert texts[0].keys() == texts[1].keys() and len(texts[0]) == 16
    assert sum(texts[0][key] != texts[1][key] for key in texts[0]) > 8


# --- the learning curve


@pytest.mark.parametrize("side", ["curve", "tuned"])
def test_before_the_training_there_is_nothing_to_evaluate(tmp_path, side):
    run = directory.open_run("quickstart", ["train.seeds=[3,4]"], tmp_path)
    (run.adapter(3)).mkdir(parents=True)
    with pytest.raises(HarnessError, match=r"seed 4 is not trained yet; python -m harness\.train"):
        evaluation.evaluate(run, side)
    assert not run.curve(3).exists()


def test_the_curve_is_scored_on_dev_and_the_chosen_adapter_on_test(staged):
    run = opened(staged)
    data = gsm8k.load(run.config.data.source())
    dev = [problem.id for problem in data.dev]
    for seed in SEEDS:
        made = files.read_json(run.curve(seed) / "curve.json")
        assert made["n"] == FEW and made["conditions"]["split"] == "dev"
        assert [point["step"] for point in made["points"]] == [0, 2, 4]
        for point in made["points"]:
            side = result(run.curve(seed) / f"step-{point['step']}")
            assert [score["id"] for score in side["scores"]] == dev
            assert point["correct"] == sum(score["correct"] for score in side["scores"])
        hashes = {point["step"]: point["adapter"] for point in made["points"]}
        assert hashes[4] == checkpoint.file_hash(run.adapter(seed) / "adapter_model.safetensors")
        assert made["chosen"] == (2 if made["points"][1]["correct"] >= made["points"][2]["correct"] else 4)
        tuned = result(run.tuned(seed))
        assert tuned["adapter"] == hashes[made["chosen"]] and tuned["conditions"]["split"] == "test"
        assert files.read_json(run.tuned(seed) / "proof.json")["adapter"] == hashes[made["chosen"]]
        assert run.read_manifest().checkpoints[f"seed {seed}"] == Evaluated(made["chosen"], "best_dev")
    first, second = (run.curve(seed) / "step-0/samples.jsonl" for seed in SEEDS)
    assert first.read_bytes() == second.read_bytes()
    assert "## Learning curve" in run.report.read_text()


def test_the_tuned_stage_asks_the_adapter_that_was_chosen(staged, tmp_path):
    """As if dev had preferred the other one: another adapter is proven and evaluated."""
    run = copied(staged, tmp_path)
    shutil.rmtree(run.tuned(1))
    file = run.curve(1) / "curve.json"
    made = files.read_json(file)
    other = {2: 4, 4: 2}[made["chosen"]]
    files.write_json(file, made | {"chosen": other})
    evaluation.evaluate(run, "tuned")
    hashes = {point["step"]: point["adapter"] for point in made["points"]}
    assert result(run.tuned(1))["adapter"] == hashes[other] != hashes[made["chosen"]]
    files.write_json(file, made)
    with pytest.raises(HarnessError, match="holds completions of another adapter"):
        evaluation.evaluate(run, "tuned")


def test_a_curve_that_was_interrupted_ends_as_it_would_have(staged, tmp_path):
    run = copied(staged, tmp_path)
    step = run.curve(1) / "step-2"
    for file in (run.curve(1) / "curve.json", step / "result.json", run.curve(1) / "step-4/samples.jsonl"):
        file.unlink()
    kept = (step / "samples.jsonl").read_bytes().split(b"\n")[:8]  # a batch
    (step / "samples.jsonl").write_bytes(b"\n".join(kept) + b'\n{"id": "torn')
    done = harness("evaluate", run.path, "--side", "curve")
    assert done.returncode == 0, done.stderr
    assert "curve (seed 1, step 2) evaluation: 8 completions" in done.stdout
    assert "curve (seed 3407, step 2) evaluation: all 16 completions exist already" in done.stdout
    for name in ("curve.json", "step-2/result.json", "step-4/result.json"):
        assert (run.curve(1) / name).read_bytes() == (staged / "curve/seed-1" / name).read_bytes()


def test_answers_of_another_adapter_and_a_missing_adapter_are_refused(staged, tmp_path):
    run = copied(staged, tmp_path)
    file = run.adapter_after(3407, 2) / "adapter_model.safetensors"
    weights = load_file(file)
    save_file({key: weight * 2 for key, weight in weights.items()}, file)
    with pytest.raises(HarnessError, match="step-2: holds completions of another adapter"):
        evaluation.evaluate(run, "curve")
    file.unlink()
    with pytest.raises(HarnessError, match="checkpoint-2: adapter not found"):
        evaluation.evaluate(run, "curve")


def test_an_adapter_that_the_engine_does_not_take_has_no_point(staged, tmp_path):
    run = copied(staged, tmp_path)
    file = run.adapter_after(3407, 2) / "adapter_model.safetensors"
    elsewhere = {key.replace("layers", "blocks"): weight for key, weight in load_file(file).items()}
    save_file(elsewhere, file)
    shutil.rmtree(run.curve(3407) / "step-2")
    with pytest.raises(HarnessError, match=r"checkpoint-2: the engine loaded 0 of the adapter's \d+ modules"):
        evaluation.evaluate(run, "curve")


def test_too_little_memory_ends_a_stage_in_one_line_that_says_what_to_do(tmp_path, monkeypatch):
    run = directory.open_run("quickstart", SMALL, tmp_path)

    def lacking(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity")

    monkeypatch.setattr(grpo, "train", lacking)
    monkeypatch.setattr(registry, "load", lacking)
    with pytest.raises(HarnessError, match=r"Tried to allocate 2\.00 GiB\); .*set train\.micro_batch below 8"):
        train_command.main([str(run.path)])
    with pytest.raises(HarnessError, match=r"Tried to allocate 2\.00 GiB\); .*lower eval\.batch_size \(now 8\)"):
        evaluate_command.main([str(run.path), "--side", "base"])


def test_a_dev_question_that_does_not_fit_is_found_before_the_training(tmp_path):
    folder = data_folder(tmp_path)
    rows = [{"question": f"{n}: how much is 1 + 1? " + "And then? " * 400, "answer": "#### 2"} for n in range(8)]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = [f"data.path={folder}", "data.dev=2", "eval.curve=true"]
    refused(
        harness("evaluate", "quickstart", *settings, "--side", "base", "--results", tmp_path / "results"),
        "2 of 2 questions do not fit the model's context of 1024 tokens",
    )


def test_every_evaluation_is_scored_anew_and_the_choice_must_stand(staged, tmp_path):
    run = copied(staged, tmp_path)
    folders = [run.base, run.again, *(run.tuned(seed) for seed in SEEDS)]
    folders += [folder for seed in SEEDS for folder in learning_curve.folders(run, seed).values()]
    kept = {folder: (folder / "result.json").read_bytes() for folder in folders}
    for folder in folders:
        older = result(folder)
        older["conditions"]["scorer"] = "0"
        older["scores"][0]["correct"] = not older["scores"][0]["correct"]
        files.write_json(folder / "result.json", older)
    (run.curve(1) / "curve.json").write_text(json.dumps(files.read_json(run.curve(1) / "curve.json") | {"n": 0}))
    unsealed(run)
    done = harness("rescore", run.path)
    assert done.returncode == 0, done.stderr
    assert {folder: (folder / "result.json").read_bytes() for folder in folders} == kept
    for name in ("curve/seed-1/curve.json", "summary.json"):
        assert (run.path / name).read_bytes() == (staged / name).read_bytes()
    other = files.read_json(run.curve(1) / "curve.json")
    files.write_json(run.curve(1) / "curve.json", other | {"chosen": 6 - other["chosen"]})
    unsealed(run)
    refused(
        harness("rescore", run.path), f"chooses step {other['chosen']}, but step {6 - other['chosen']} was evaluated"
    )
