"""SwanLab's own tools read back what was tracked: the demo's, a killed one's, offline and from a server."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet
import pytest
import yaml

from harness.config import loading
from harness.report import charts
from harness.runs import curve, directory
from harness.runs.curve import Curve, Point
from harness.runs.results import read_evaluation
from harness.stats.scores import Rate
from harness.track import follow
from harness.track.reader import Reader
from harness.util import files
from harness.util.errors import HarnessError
from tests import conftest
from tests.conftest import HANG, ROOT, SMALL, harness, refused, started, wait_until
from tests.constructed import make_run, reported
from tests.swanlab_server import KEY, Server

pytest.importorskip("swanlab")


@pytest.fixture(autouse=True)
def _patient(monkeypatch) -> None:
    """On a slow machine SwanLab takes longer than PATIENCE_SECONDS, and a line would be printed."""
    monkeypatch.setattr(follow, "START_SECONDS", HANG)
    monkeypatch.setattr(follow, "PATIENCE_SECONDS", HANG)


def read(run: Path) -> SimpleNamespace:
    """What SwanLab's own reader finds in the run's one SwanLab run; rows are (step, value or file names)."""
    from swanlab.proto.swanlab.record.v1.record_pb2 import Record
    from swanlab.sdk.internal.core_python.store import DataStoreReader

    (folder,) = (run / "swanlab").glob("run-*")
    (file,) = folder.glob("run-*.swanlab")
    reader = DataStoreReader()
    reader.open(file)
    found = SimpleNamespace(folder=folder, scalars=defaultdict(list), media=defaultdict(list), starts=[], ends=[])
    for line in reader:
        record = Record()
        record.ParseFromString(line)
        if record.HasField("scalar"):
            found.scalars[record.scalar.key].append((record.scalar.step, record.scalar.value.number))
        elif record.HasField("media"):
            names = [item.filename for item in record.media.value.items]
            found.media[record.media.key].append((record.media.step, names))
        elif record.HasField("start"):
            found.starts.append(record.start)
        elif record.HasField("finish"):
            found.ends.append(record.finish.state)
    reader.close()
    return found


def logged(run: Path, seed: int, place: str) -> dict[str, list[tuple[int, float]]]:
    """The numbers of metrics.jsonl, by the key that SwanLab should have."""
    series = defaultdict(list)
    for row in files.read_lines(run / f"train/seed-{seed}/metrics.jsonl"):
        for key, value in row.items():
            if key != "step" and value is not None:
                series[f"{place}/{key}"].append((row["step"], value))
    return series


def scores(summary: dict, name: str, of: str, quantities: tuple[str, ...]) -> dict[str, float]:
    found = {}
    for quantity in quantities:
        rate = summary[name][quantity]
        found |= {f"{of}/{quantity}": rate["value"], f"{of}/{quantity}_low": rate["low"]}
        found[f"{of}/{quantity}_high"] = rate["high"]
    return found


def singles(summary: dict, steps: int) -> dict[str, list[tuple[int, float]]]:
    """The scores with a single value: the base's at step 0, the others at the last step."""
    after = scores(summary, "tuned", "tuned", QUANTITIES)
    after |= scores(summary, "difference", "difference", QUANTITIES[:3])
    before = scores(summary, "base", "base", QUANTITIES)
    return {key: [(0, value)] for key, value in before.items()} | {key: [(steps, v)] for key, v in after.items()}


QUANTITIES = ("accuracy", "strict", "format", "tags", "marked")


def test_the_demo_is_tracked_offline_and_its_numbers_are_those_of_the_files(finished):
    """The real command with its defaults; SwanLab stores doubles, so that numbers are exactly equal."""
    found = read(finished)
    assert [(start.project, start.name) for start in found.starts] == [("grpo-harness", finished.name)]
    assert found.ends == [1]  # RUN_STATE_FINISHED
    expected = logged(finished, 3407, "train")
    assert len(expected["train/reward"]) == 6
    expected |= singles(files.read_json(finished / "summary.json"), 6)
    assert found.scalars == expected


def test_completions_are_there_as_text_and_the_settings_as_config(finished):
    found = read(finished)
    assert [step for step, _ in found.media["train/completions"]] == [1, 2, 4, 6]  # resume_every is 2
    _, names = found.media["base/completions"][0]
    first = files.read_json(finished / "base/result.json")
    said = [row for row in files.read_lines(finished / "base/samples.jsonl") if row["id"] == first["scores"][0]["id"]]
    text = (found.folder / "media/text" / names[0]).read_text()
    assert text == f"{first['questions'][said[0]['id']]}\n\n{said[0]['text']}"
    ((_, verdict),) = found.media["report/verdict"]
    sentence = files.read_json(finished / "summary.json")["verdict"]["sentence"]
    assert (found.folder / "media/text" / verdict[0]).read_text() == sentence
    shown = yaml.safe_load((found.folder / "files/config.yaml").read_text())
    assert shown["train"]["value"]["learning_rate"] == 2e-3 and shown["digest"]["value"].startswith(finished.name[-8:])


def test_the_plots_are_there_as_images_with_their_colours(finished):
    from harness.track import swanlab as swanlab_run

    pytest.importorskip("resvg_py")
    image = pytest.importorskip("PIL.Image")
    if not swanlab_run._can_draw():
        pytest.skip("needs one of the fonts that plots are drawn with (DejaVu Sans, say): without one they are pages")
    found = read(finished)
    assert {f"report/{plot.stem}" for plot in (finished / "plots").glob("*.svg")} <= found.media.keys()
    _, (name,) = found.media["report/before_after"][0]
    content = (found.folder / "media/image" / name).read_bytes()
    with image.open(io.BytesIO(content)) as picture:
        assert picture.width == 1200  # 400 of the chart's own units, times 1.5 in a file, times 2
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert all("var(" not in charts.in_light(plot.read_text()) for plot in (finished / "plots").glob("*.svg"))
    assert (0x00, 0x72, 0xB2) in colours  # --tuned of chart.css, which resvg would have drawn black


def test_a_plot_is_a_page_where_its_words_cannot_be_drawn(finished, monkeypatch):
    import swanlab

    from harness.track import swanlab as swanlab_run

    monkeypatch.setitem(sys.modules, "resvg_py", None)
    plot = (finished / "plots/before_after.svg").read_text()
    drawn = swanlab_run._drawn(plot)
    assert isinstance(drawn, swanlab.Html) and drawn.content == plot


def test_nothing_of_the_machine_is_kept(finished):
    """No host name, command, packages, git, hardware; nothing but the folder of the run is written to."""
    found = read(finished)
    assert not [key for key in found.scalars if key.startswith("__")]
    assert json.loads((found.folder / "files/swanlab-metadata.json").read_text()).items() >= {"runtime": None}.items()
    assert {path.name for path in (found.folder / "files").iterdir()} == {"config.yaml", "swanlab-metadata.json"}
    assert not (ROOT / "swanlog").exists()


def test_a_run_that_wants_no_tracking_gets_none(finished, tmp_path):
    copy = copied(finished, tmp_path, "track: {mode: disabled}\n")
    refused(harness("track", copy), "track.mode is disabled")
    refused(harness("track", finished, "--mode", "disabled"), "--mode is disabled, so there is nothing to do; give")


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_the_experiments_own_process_imports_nothing_of_swanlab(finished, tmp_path, mode):
    copy = copied(finished, tmp_path, f"track: {{mode: {mode}}}\n")
    code = f"""
import sys
from harness.run import execute
from harness.runs import directory
from harness.track import follow as track
track.PATIENCE_SECONDS = {HANG}
here = directory.existing(__import__("pathlib").Path({str(copy)!r}))
track.check(here.config)
print(track.following(here, None, lambda: 7), [name for name in sys.modules if name.startswith("swanlab")])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=HANG)
    assert done.stdout.strip().endswith("7 []"), done.stderr
    assert done.stdout.count("\n") == (2 if mode == "offline" else 1)  # one line of ours, none of SwanLab's


def copied(finished: Path, tmp_path: Path, settings: str = "") -> Path:
    copy = tmp_path / "elsewhere" / finished.name
    shutil.copytree(finished, copy)
    if settings:
        written = (copy / "config.yaml").read_text().partition("\ntrack:")[0]
        (copy / "config.yaml").write_text(f"{written}\n{settings}")
    return copy


# A person's home that cannot be written, a network that is not there, and settings of theirs for other work.
ALONE = """
import socket, sys
def refuse(*arguments): raise AssertionError("the network was asked for")
socket.socket.connect = socket.getaddrinfo = refuse
from harness.track import __main__ as track
from harness.util import cli
sys.exit(cli.exit_code(lambda: track.main(sys.argv[1:])))
"""


def test_a_copied_run_is_tracked_again_alone_under_its_own_id(finished, tmp_path):
    """Without a home and a network; settings of other work have no effect; a model's text does nothing."""
    copy = copied(finished, tmp_path)
    samples = files.read_lines(copy / "base/samples.jsonl")
    samples = [row | {"text": "\x1b[2J<b>\u202e"} for row in samples]
    files.write_lines(copy / "base/samples.jsonl", samples)
    foreign = {"SWANLAB_WEBHOOK": "http://127.0.0.1:9", "SWANLAB_MODE": "online", "SWANLAB_LOG_DIR": "/proc/none"}
    environment = os.environ | foreign | {"HOME": "/proc/none", "SWANLAB_API_KEY": KEY, "PYTHONPATH": search_path()}
    command = [sys.executable, "-c", ALONE, os.path.relpath(copy, tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=HANG)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert done.stdout.startswith("SwanLab: offline") and done.stdout.count("\n") == 1
    again, before = read(copy), read(finished)
    assert again.scalars == before.scalars and again.starts[0].id == before.starts[0].id
    _, names = again.media["base/completions"][0]
    text = (again.folder / "media/text" / names[0]).read_text()
    assert text.endswith("\n\n⟨U+001B⟩[2J<b>⟨U+202E⟩")
    assert {path.name for path in tmp_path.iterdir()} == {"elsewhere"}  # nothing in the working directory
    assert not [file for file in copy.rglob("*") if file.is_file() and KEY.encode() in file.read_bytes()]


def search_path() -> str:
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def test_swanlab_sync_puts_an_offline_run_online(finished, tmp_path):
    server = Server()
    command = [Path(sys.executable).parent / "swanlab", "sync", read(copied(finished, tmp_path)).folder]
    environment = os.environ | server.environment() | {"HOME": str(tmp_path)}
    subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=HANG, check=True)
    server.close()
    assert {key: sorted(rows) for key, rows in server.scalars.items()} == read(finished).scalars
    assert list(server.runs.values()) == [["FINISHED"]]
    assert server.profile["config"]["digest"]["value"].startswith(finished.name[-8:])


def test_a_killed_experiment_goes_on_in_its_one_run(finished, monkeypatch, tmp_path):
    """Online, killed in the training past a resume point, and left to finish; its base is that of another run."""
    server = Server()
    for name, value in (server.environment() | {"HOME": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    results = conftest.copied(finished, tmp_path)
    settings = [*SMALL, "train.seeds=[9]", "train.steps=12", "train.save_steps=12"]
    arguments = ("exp/quickstart.yaml", *settings, "track.mode=online", "--results", results)
    process = started("run", *arguments)
    run = directory.open_run("quickstart", settings, results, create=False).path
    wait_until(lambda: any(step == 3 for step, _ in list(server.scalars["train/reward"])), process)  # live
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (run / "train/seed-9/adapter").exists() and len(server.runs) == 1
    done = harness("run", *arguments)
    server.close()
    assert done.returncode == 0, done.stderr
    assert f"SwanLab: {server.url}/@me/grpo-harness/runs/" in done.stdout
    assert list(server.runs.values()) == [["FINISHED"]]  # one run, ended once: killed is not ended
    expected = logged(run, 9, "train") | singles(files.read_json(run / "summary.json"), 12)
    got = {key: sorted(rows) for key, rows in server.scalars.items()}
    steps = [step for step, _ in expected.pop("train/step_time")]  # the duration differs every time
    assert [step for step, _ in got.pop("train/step_time")] == steps
    assert got == expected
    assert not [file for file in run.rglob("*") if file.is_file() and KEY.encode() in file.read_bytes()]


def test_several_seeds_stand_side_by_side_in_one_run(tmp_path):
    """Outcomes chosen by hand: seed 1 puts two questions of four right, seed 2 three; the mean is 5 of 8."""
    wrong, right = ["wrong"] * 4, ["right"] * 4
    run = reported(tmp_path, wrong, {1: wrong[:2] + right[:2], 2: wrong[:1] + right[:3]})
    for seed in (1, 2):
        run.adapter(seed).mkdir(parents=True)
    assert harness("track", run.path).returncode == 0
    found, summary = read(run.path), files.read_json(run.summary)
    values = singles(summary, 60)
    for each in summary["seeds"]:
        own = scores(each, "tuned", f"tuned/seed-{each['seed']}", QUANTITIES)
        values |= {key: [(60, value)] for key, value in own.items()}
    assert found.scalars == values | logged(run.path, 1, "train/seed-1") | logged(run.path, 2, "train/seed-2")
    accuracy = {key: found.scalars[f"tuned/{key}accuracy"] for key in ("", "seed-1/", "seed-2/")}
    assert accuracy == {"": [(60, 5 / 8)], "seed-1/": [(60, 2 / 4)], "seed-2/": [(60, 3 / 4)]}


def test_what_is_tracked_may_lie_on_another_disk(tmp_path):
    run = reported(tmp_path, ["wrong"] * 30, ["right"] * 30)
    (tmp_path / "disk" / "run-of-before").mkdir(parents=True)
    run.tracked.symlink_to(tmp_path / "disk")
    done = harness("track", run.path)
    assert done.returncode == 0, done.stderr
    assert run.tracked.is_symlink() and not (tmp_path / "disk/run-of-before").exists()
    assert list((tmp_path / "disk").glob("run-*/run-*.swanlab"))


def test_a_learning_curve_is_shown_at_its_steps_and_the_tuned_scores_at_the_chosen_one(tmp_path):
    settings = ("eval.curve=true", "train.save_steps=50", "train.checkpoint=best_dev")
    run = make_run(tmp_path, ["wrong"] * 4, ["right"] * 4, *settings)
    rate = Rate(value=0.5, low=0.25, high=0.75, method="Wilson")
    points = tuple(Point(step, None, rate, rate, rate, 4, 2, 0, None) for step in (0, 50, 60))
    conditions = read_evaluation(run.base).conditions
    files.write_text(run.curve(3407) / curve.NAME, curve.text(Curve(conditions, 4, points, "best_dev", 50)))
    shown = list(Reader(run, following=False).new())
    assert [each.step for each in shown if each.numbers.get("curve/accuracy_low") == 0.25] == [0, 50, 60]
    assert [each.step for each in shown if each.numbers.get("tuned/accuracy") == 1.0] == [50]


def test_what_a_training_will_take_again_is_not_shown(tmp_path):
    """A training was killed after step 3 and is resumed from step 2, on a machine where step 3 gives other numbers."""
    run = directory.open_run("quickstart", [*SMALL], tmp_path)
    log = run.train(3407) / "metrics.jsonl"
    files.write_lines(log, [{"step": step, "loss": 0.5} for step in (1, 2, 3)])
    reader = Reader(run, following=True)
    assert list(reader.new()) == []
    assert [shown.step for shown in Reader(run, following=False).new()] == [1, 2, 3]  # not running: all are shown
    files.write_lines(log, files.read_lines(log)[:2])  # as the recorder does when it starts
    assert [(shown.step, shown.numbers) for shown in reader.new()] == [(s, {"train/loss": 0.5}) for s in (1, 2)]
    files.append_lines(log, [{"step": 3, "loss": 0.25, "grad_norm": None}])
    with log.open("a") as stream:
        stream.write('{"step": 4, "lo')  # being written
    assert [(shown.step, shown.numbers) for shown in reader.new()] == [(3, {"train/loss": 0.25})]
    assert list(reader.new()) == []


def test_a_long_log_is_parsed_once_and_again_if_it_was_rewritten(tmp_path):
    run = directory.open_run("quickstart", [*SMALL], tmp_path)
    log = run.train(3407) / "metrics.jsonl"
    files.write_lines(log, [{"step": 1}, {"step": 2}])
    reader = Reader(run, following=False)
    assert [shown.step for shown in reader.new()] == [1, 2]
    with log.open("r+b") as stream:
        stream.write(b"no JSON")  # over the first row, in place: reading it again would fail
    files.append_lines(log, [{"step": 3}])
    assert [shown.step for shown in reader.new()] == [3]
    files.write_lines(log, [{"step": step} for step in (1, 2, 3, 4)])
    assert [shown.step for shown in reader.new()] == [4]


@pytest.mark.parametrize(
    ("iterations", "made", "shown"),
    [(1, range(1, 13), [1, 5, 10, 12]), (2, range(1, 13, 2), [1, 5, 9, 11]), (3, (1, 4, 7, 10), [1, 4, 10])],
)
def test_completions_are_shown_before_every_resume_point_also_where_several_steps_learn_from_them(
    tmp_path, iterations, made, shown
):
    """Of 12 steps with a resume point every 5; a rollout serves its own step and the iterations - 1 that follow."""
    settings = ("train.steps=12", "train.resume_every=5", "train.save_steps=12", f"train.num_iterations={iterations}")
    run = directory.open_run("quickstart", list(settings), tmp_path)
    row = {"question": "?", "completion": "!", "problem_id": "p", "gold": "1", "reward": 0.0}
    run.train(3407).mkdir(parents=True)
    table = pyarrow.Table.from_pylist([{"step": step} | row for step in made])
    pyarrow.parquet.write_table(table, run.train(3407) / "completions.parquet")
    assert [each.step for each in Reader(run, following=False).new()] == shown


def test_a_tracker_that_fails_is_a_line_and_the_experiment_goes_on(finished, tmp_path, capsys):
    copy = copied(finished, tmp_path)
    shutil.rmtree(copy / "swanlab")
    (copy / "swanlab").write_text("no folder can be made here")
    run = directory.existing(copy)
    assert follow.following(run, None, lambda: 0) == 0
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and "the experiment has lost nothing" in said[1] and "File exists" in said[1]


def test_a_tracker_that_hangs_or_is_killed_is_a_line_too(finished, tmp_path, capsys, monkeypatch):
    run = directory.existing(copied(finished, tmp_path))
    monkeypatch.setattr(follow, "PATIENCE_SECONDS", 0.25)
    for number, seconds, why in (
        (signal.SIGSTOP, 0.5, "not done after 0.5 s"), (signal.SIGKILL, HANG, "(ended by SIGKILL)")
    ):  # fmt: skip
        monkeypatch.setattr(follow, "FINISH_SECONDS", seconds)
        tracker = follow.Tracker(run, None)
        assert tracker.first_line().startswith("SwanLab: offline")  # which is no reason
        os.kill(tracker._process.pid, number)
        tracker.finish("success")
        assert why in capsys.readouterr().out


IMPATIENT = """
import os, signal, sys, threading
from pathlib import Path
from harness.runs import directory
from harness.track import follow as track
from harness.util.cli import exit_code
track.PATIENCE_SECONDS = 0.1

def work():
    (tracker,) = psutil.Process().children()
    tracker.suspend()
    return 0

def say(line, told=track.say):
    told(line)
    if line.startswith("SwanLab is finishing"):  # as a user who reads it would
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()

track.say = say

import psutil
run = directory.existing(Path(sys.argv[1]))
sys.exit(exit_code(lambda: track.following(run, None, work)))
"""


def test_ctrl_c_ends_the_wait_for_a_tracker_and_not_the_experiment(finished, tmp_path):
    copy = copied(finished, tmp_path / "a b")
    command = [sys.executable, "-c", IMPATIENT, copy]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG)
    assert (done.returncode, done.stderr) == (0, "")
    offline, waits, given_up = done.stdout.splitlines()
    assert offline.startswith(f"SwanLab: offline; to see it: python -m harness.track '{copy}' --mode local")
    assert offline.endswith(" (or online).") and ("dashboard" in offline) != bool(find_spec("swanboard"))
    assert waits == "SwanLab is finishing; that may take 60 s, and Ctrl-C skips it."
    assert "(stopped)" in given_up and f"python -m harness.track '{copy}' tracks it again" in given_up


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")
def test_a_tracker_that_cannot_speak_is_refused_in_a_line_and_ends_its_run(finished, tmp_path):
    copy = copied(finished, tmp_path)
    command = [sys.executable, "-m", "harness.track", copy]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=HANG)
    refused(done, "No space left")
    assert read(copy).ends == [2]  # RUN_STATE_CRASHED


def test_a_run_that_lost_its_completions_is_refused_in_a_line(finished, tmp_path):
    copy = copied(finished, tmp_path)
    (copy / "base/samples.jsonl").unlink()
    refused(harness("track", copy), "base/samples.jsonl: the completion of problem", "run again")


@pytest.mark.parametrize(("raised", "state"), [(HarnessError("ended by SIGKILL"), 2), (KeyboardInterrupt(), 3)])
def test_an_experiment_that_does_not_end_well_is_tracked_as_such(finished, tmp_path, raised, state):
    """SwanLab's RUN_STATE_CRASHED and RUN_STATE_ABORTED; an old report is not shown as this attempt's."""
    run = directory.existing(copied(finished, tmp_path))

    def work():
        raise raised

    with pytest.raises(type(raised)):
        follow.following(run, None, work)
    found = read(run.path)
    assert found.ends == [state] and "report/verdict" not in found.media


@pytest.mark.parametrize("mode", ["offline", "online", "local"])
def test_a_tracker_that_is_not_installed_is_refused_with_both_remedies(monkeypatch, mode):
    monkeypatch.setitem(sys.modules, "swanlab", None)
    config = loading.load(loading.find_experiment("quickstart"), [f"track.mode={mode}"])
    with pytest.raises(HarnessError, match=r"swanlab is not installed: pip install -e \., or set track.mode=disabled"):
        follow.check(config)
    follow.check(loading.load(loading.find_experiment("quickstart"), ["track.mode=disabled"]))


def test_what_cannot_be_tracked_as_asked_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SWANLAB_API_KEY", raising=False)
    results = tmp_path / "results"
    online = harness("run", "exp/quickstart.yaml", "track.mode=online", "--results", results)
    refused(online, "track.mode: online needs an account", "swanlab login")
    refused(harness("run", "exp/quickstart.yaml", "track.project=a b", "--results", results), "track.project")
    refused(harness("run", "exp/quickstart.yaml", "track.mode=cloud", "--results", results), "track.mode", "'offline'")
    monkeypatch.setitem(sys.modules, "swanboard", None)
    with pytest.raises(HarnessError, match=r"local needs SwanLab's dashboard: pip install -e \"\.\[dashboard\]\""):
        follow.check(loading.load(loading.find_experiment("quickstart"), ["track.mode=local"]))
    assert not results.exists()
