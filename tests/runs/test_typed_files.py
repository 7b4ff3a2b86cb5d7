"""The other files of a run: written again byte for byte, and one line for what does not match."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from harness.runs import completions, directory, manifest, proof, results, source, training
from harness.runs.completions import Asked
from harness.runs.manifest import Cost, Machine, MadeWith, Seeds, Track
from harness.runs.proof import AdapterProof, WeightsProof
from harness.runs.results import SamplingParameters
from harness.runs.source import Content, Source
from harness.runs.training import DroppedPrompts, LongPrompt, Metrics
from harness.tasks.records import Completion
from harness.util import files, typed
from harness.util.errors import HarnessError
from tests.constructed import PROOF, WEIGHTS_PROOF, evaluated, make_run


def content(**others) -> Content:
    shared = {
        "questions": 2, "prompts": "e" * 64, "max_new_tokens": 72, "sampling": SamplingParameters(0.0, 1.0, 0, 0.0),
        "samples": 1, "seed": None, "stop_ids": (1, 5), "engine": "transformers engine 1", "precision": "fp32",
        "problems": ("a" * 16, "b" * 16), "weights": "c" * 64, "tokenizer": "d" * 64, "batch_size": 8,
        "gpu_memory_utilization": None, "threads": 1,
    }  # fmt: skip
    return Content(**shared | others)


# --- what the answers are of


def test_the_digest_of_a_content_is_that_of_its_json_and_stays_what_it_was():
    """If it changed, every shared base would be generated again."""
    assert content().digest == "f43b6ae276247257"
    assert content(seed=1, again=True).digest == "2b4f51385ed5481d"
    assert content(adapters=True).digest == "18782f4892839aac"


def test_a_shared_base_is_in_the_folder_that_its_content_names(finished):
    files_there = list((finished.parent / ".base").glob("*/content.json"))
    assert files_there
    for file in files_there:
        found = typed.read(Content, file)
        assert found.digest == file.parent.name and files.as_json(typed.plain(found)) == file.read_text()


def test_what_was_begun_for_something_else_is_refused(tmp_path):
    ours = Source("a" * 64, "b" * 16)
    assert not ours.began(tmp_path / "source.json")
    source.write_source(tmp_path, ours)
    proof.write(tmp_path, AdapterProof(**{name: PROOF[name] for name in AdapterProof.__dataclass_fields__}), ours)
    for file in (tmp_path / "source.json", tmp_path / "proof.json"):
        assert ours.began(file)
        with pytest.raises(HarnessError, match="completions of another adapter"):
            Source("c" * 64, "b" * 16).began(file)
        with pytest.raises(HarnessError, match="another engine or with other prompts"):
            Source("a" * 64, "c" * 16).began(file)
    (tmp_path / "source.json").write_text('{"adapter": "a"}')
    with pytest.raises(HarnessError, match=r"source\.json: content is missing"):
        ours.began(tmp_path / "source.json")


@pytest.mark.parametrize(("written", "full"), [(PROOF, False), (WEIGHTS_PROOF, True)])
def test_a_proof_is_read_without_what_it_is_of_and_written_with_it(tmp_path, written, full):
    files.write_json(tmp_path / "proof.json", written)
    before = (tmp_path / "proof.json").read_bytes()
    found = proof.read(tmp_path, full=full)
    assert isinstance(found, WeightsProof if full else AdapterProof)
    assert typed.plain(found).keys() == written.keys() - {"adapter", "content"}
    proof.write(tmp_path, found, Source(written["adapter"], written["content"]))
    assert (tmp_path / "proof.json").read_bytes() == before
    with pytest.raises(HarnessError, match=r"proof\.json: (modules|tensors) is missing"):
        proof.read(tmp_path, full=not full)


# --- the completions


def test_a_completion_is_logged_in_the_order_of_its_fields_and_read_back(tmp_path):
    log, question = tmp_path / "samples.jsonl", Asked("q", "18", "p")
    made = Completion(0, 1, "6 × 3 = 18\u2028", "stop", 7, 0.25)
    with completions.appending(log) as append:
        append([completions.LoggedCompletion.of(question, made)])
    assert log.read_text() == (
        '{"id": "q", "prompt": "p", "sample": 1, "text": "6 × 3 = 18\u2028", "finish_reason": "stop", "tokens": 7, '
        '"seconds": 0.25}\n'
    )
    assert completions.texts(log) == {("q", 1): made.text}
    assert completions.read(log, [question])[0, 1].seconds == 0.25
    with pytest.raises(HarnessError, match="another prompt than this run"):
        completions.read(log, [Asked("q", "18", "other")])


def test_a_line_that_is_not_a_completion_is_named(tmp_path):
    evaluated(tmp_path, ["right", "wrong"])
    log = tmp_path / "samples.jsonl"
    files.append_lines(log, [{"id": "a", "sample": 0, "prompt": "p", "text": None, "finish_reason": "", "tokens": 1}])
    with pytest.raises(HarnessError, match=r"samples\.jsonl line 3: text: found None, expected a valid string"):
        completions.texts(log)
    with log.open("a") as stream:
        stream.write('{"id": "torn')  # by a kill: passed over, as long as it is the last
    files.write_lines(log, files.read_lines(log)[:2])
    assert len(completions.texts(log)) == 2


def test_what_an_older_scorer_left_out_reads_as_nothing_found(tmp_path):
    evaluated(tmp_path, ["right", "wrong"])
    older = files.read_json(tmp_path / "result.json")
    for name in ("why", "correct", "rule"):
        del older["scores"][0][name]
    files.write_json(tmp_path / "result.json", older)
    first, second = results.read_earlier(tmp_path).scores
    assert (first.why, first.correct, first.rule, first.strict) == ("", False, None, True) and second.why
    del older["scores"][1]["gold"]
    for damaged, said in ((older, r"scores\.1\.gold is missing"), ({"scores": 3}, "conditions is missing")):
        files.write_json(tmp_path / "result.json", damaged)
        with pytest.raises(HarnessError, match=rf"result\.json: {said}"):
            results.read_earlier(tmp_path)


# --- what a training leaves


def test_metrics_are_read_and_written_again_byte_for_byte(tmp_path):
    draw = random.Random(5)
    doubles = [draw.uniform(-1, 1) * 10.0 ** draw.randint(-300, 300) for _ in range(3000)]
    log = training.metrics_log(tmp_path)
    rows = [
        {"step": step, "loss": doubles[step], "tokens": 7100.0, "count": 2**53 + step, "grad_norm": None, "on": True}
        for step in range(len(doubles))
    ]
    files.append_lines(log, rows)
    before = log.read_bytes()
    found = training.read_metrics(log)
    assert found[3] == Metrics(3, {name: value for name, value in rows[3].items() if name != "step"})
    training.write_metrics(log, found)
    assert log.read_bytes() == before
    training.append_metrics(log, Metrics(9, {"loss": 0.5}))
    assert [row.numbers for row in training.read_metrics(log, after=3000)] == [{"loss": 0.5}]


@pytest.mark.parametrize(
    ("row", "said"),
    [({"loss": 1.0}, "step is missing"), ({"step": 2, "loss": "low"}, "found 'low'"), ([], r"its content: found \[\]")],
)
def test_a_row_of_metrics_that_is_not_one_is_named(tmp_path, row, said):
    log = training.metrics_log(tmp_path)
    files.append_lines(log, [{"step": 1}, row])
    with pytest.raises(HarnessError, match=rf"metrics\.jsonl line 2: .*{said}"):
        training.read_metrics(log)


def test_dropped_prompts_are_read_back(tmp_path):
    left_out = DroppedPrompts(256, 10, (LongPrompt("a", 300), LongPrompt("b", 257)))
    training.write_dropped(tmp_path, left_out)
    assert training.read_dropped(tmp_path) == left_out
    assert files.read_json(tmp_path / "dropped_prompts.json")["dropped"][1] == {"id": "b", "tokens": 257}


# --- the manifest


def noted(path: Path) -> directory.RunDir:
    run = directory.open_run("quickstart", [], path)
    run.pin({"data": "a" * 64})
    run.note("machine", Machine("Linux", 2, 1))
    run.note("stages", {"base": Cost(start_seconds=0.5, seconds=2, tokens=9, completions=3, peak_memory_mib=600)})
    run.note("wall_seconds", {"base evaluation": 21.5})
    run.note("seeds", Seeds((1, 2), 3407, 0))
    run.note("made_with", {"base evaluation": MadeWith(commit=None, dirty=None, diff_sha256=None, versions={})})
    run.note("track", Track("f" * 16))
    return run


def test_the_manifest_is_read_as_it_was_noted(tmp_path):
    run = noted(tmp_path)
    found = run.read_manifest()
    assert found.inputs == {"data": "a" * 64} and found.machine == Machine("Linux", 2, 1) and found.track.id == "f" * 16
    assert found.stages["base"].completions == 3 and found.stages["base"].steps is None and not found.backends
    written = json.loads(run.manifest.read_text())
    assert written["seeds"] == {"train": [1, 2], "lora": 3407, "eval": 0} and "backends" not in written
    assert written["machine"] == {"system": "Linux", "cores": 2, "threads": 1}  # no key where there is no GPU
    assert written["made_with"]["base evaluation"] == {
        "commit": None, "dirty": None, "diff_sha256": None, "versions": {},
    }  # fmt: skip
    assert directory.open_run("quickstart", [], tmp_path / "other").read_manifest() == manifest.Manifest()


def test_a_section_of_another_version_stays_in_the_manifest(tmp_path):
    run = noted(tmp_path)
    files.write_json(run.manifest, json.loads(run.manifest.read_text()) | {"later": {"a": 1}})
    run.note("backends", {"training": "trl"})
    assert json.loads(run.manifest.read_text())["later"] == {"a": 1}
    assert run.read_manifest().backends == {"training": "trl"}


def test_a_damaged_manifest_is_one_line_that_names_the_field(tmp_path):
    run = noted(tmp_path)
    damaged = json.loads(run.manifest.read_text())
    del damaged["stages"]["base"]["seconds"]
    files.write_json(run.manifest, damaged)
    with pytest.raises(HarnessError, match=r"manifest\.json: stages\.base\.seconds is missing"):
        run.pin({"data": "a" * 64})


def test_files_of_a_finished_run_are_written_again_byte_for_byte(finished):
    run = directory.existing(finished)
    for folder in (run.base, run.tuned(3407)):
        found = results.read_evaluation(folder)
        assert files.as_json(typed.plain(found)) == (folder / "result.json").read_text()
        rows = typed.read_lines(completions.LoggedCompletion, folder / "samples.jsonl")
        lines = (json.dumps(typed.plain(row), ensure_ascii=False) + "\n" for row in rows)
        assert "".join(lines) == (folder / "samples.jsonl").read_text()
    given = typed.plain(proof.read(run.tuned(3407), full=False))
    given |= typed.plain(typed.read(Source, run.tuned(3407) / "proof.json"))
    assert files.as_json(given) == (run.tuned(3407) / "proof.json").read_text()
    log = training.metrics_log(run.train(3407))
    assert [row.step for row in training.read_metrics(log)] == [row["step"] for row in files.read_lines(log)]
    left_out = typed.plain(training.read_dropped(run.train(3407)))
    assert files.as_json(left_out) == (run.train(3407) / "dropped_prompts.json").read_text()
    filled = {name: values for name, values in typed.plain(run.read_manifest()).items() if values}
    assert files.as_json(filled) == run.manifest.read_text()


@pytest.mark.parametrize("name", ["tuned/seed-3407/result.json", "tuned/seed-3407/proof.json", "manifest.json"])
def test_a_report_of_damaged_files_is_refused_with_the_field(tmp_path, name):
    from harness.report import write

    run = make_run(tmp_path, ["right"] * 30, ["right"] * 30)
    run.note("stages", {"base": Cost(start_seconds=0.5, seconds=2, tokens=9, peak_memory_mib=600)})
    damaged = files.read_json(run.path / name)
    gone = {"result.json": "scores", "proof.json": "scale"}.get(Path(name).name)
    if gone:
        del damaged[gone]
    else:
        damaged["stages"]["base"]["tokens"] = "many"
        gone = "stages.base.tokens"
    files.write_json(run.path / name, damaged)
    with pytest.raises(HarnessError) as refused:
        write.write(run)
    assert str(refused.value).startswith(f"{run.path / name}: {gone}") and "\n" not in str(refused.value)
