"""Loading questions: splits, ids, golds, local formats, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow.parquet
import pytest

from harness.config.schema import DataSection
from harness.tasks import dataset
from harness.tasks.benchmarks import gsm8k
from harness.util.errors import HarnessError

ROWS = [{"question": f"What is {n} + 1?", "answer": f"{n} + 1 = {n + 1}\n#### {n + 1:,}"} for n in range(1200, 1300)]


def write(folder: Path, train=ROWS[:80], test=ROWS[80:]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, rows in (("train", train), ("test", test)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def load(path: Path | str, dev: int = 10) -> dataset.Data:
    return gsm8k.load(DataSection(path=str(path), dev=dev).source())


def test_a_folder_of_jsonl(tmp_path):
    data = load(write(tmp_path))
    assert (len(data.train), len(data.dev), len(data.test)) == (70, 10, 20)
    assert data.test[0].gold == "1,281"
    assert data.test[0].question == ROWS[80]["question"]


def test_changed_files_of_the_same_time_are_read_anew(tmp_path):
    for test in (ROWS[80:], ROWS[90:]):
        for file in write(tmp_path / "data", test=test).iterdir():
            os.utime(file, (1_577_836_800, 1_577_836_800))  # as archives and image layers have it
        assert len(load(tmp_path / "data").test) == len(test)


@pytest.mark.parametrize("name", ["d[1]", "d*", "d?"])
def test_a_folders_name_is_no_pattern(tmp_path, name):
    write(tmp_path / "d1", test=ROWS[95:])
    write(tmp_path / name)
    assert len(load(tmp_path / name).test) == 20
    file = tmp_path / name / "all.jsonl"
    (tmp_path / name / "train.jsonl").rename(file)
    assert len(load(file).train) + len(load(file).dev) + len(load(file).test) == 80


def test_parquet_and_the_hubs_layout_hold_the_same_data(tmp_path):
    data = load(write(tmp_path / "jsonl"))
    (tmp_path / "hub/main").mkdir(parents=True)
    for name, rows in (("train", ROWS[:80]), ("test", ROWS[80:])):
        pyarrow.parquet.write_table(
            pyarrow.Table.from_pylist(rows), tmp_path / f"hub/main/{name}-00000-of-00001.parquet"
        )
    assert load(tmp_path / "hub").content_hash() == data.content_hash()
    broken = tmp_path / "hub/main/test-00001-of-00001.parquet"
    broken.write_bytes(b"no parquet")
    with pytest.raises(HarnessError, match=r"data\.path: .*test-00001-of-00001\.parquet: cannot be read \("):
        load(tmp_path / "hub")


def test_one_file_is_cut_by_question_so_that_added_rows_move_none(tmp_path):
    def cut(rows):
        file = tmp_path / "all.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return load(file, dev=0)

    small, large = cut(ROWS[:50]), cut(ROWS)
    assert {p.id for p in small.test} <= {p.id for p in large.test}
    assert {p.id for p in small.train} <= {p.id for p in large.train}
    assert 10 <= len(large.test) <= 30


def test_ids_come_from_the_question_and_the_dev_split_from_the_ids(tmp_path):
    data = load(write(tmp_path / "a"))
    shuffled = load(write(tmp_path / "b", train=ROWS[:80][::-1]))
    assert {p.id for p in data.dev} == {p.id for p in shuffled.dev}
    assert not {p.id for p in data.dev} & {p.id for p in data.train}
    assert data.content_hash() != shuffled.content_hash()  # the order decides what is trained on


def test_a_repeated_question_is_kept_once_and_test_keeps_it(tmp_path):
    data = load(write(tmp_path, train=[*ROWS[:80], ROWS[0], ROWS[90]]))
    assert data.repeated == 2
    assert len(data.train) + len(data.dev) == 80 and len(data.test) == 20


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        ([], ("no rows",)),
        ([{"question": "1+1?", "solution": "#### 2"}], ("no 'answer' column", "question, solution")),
        ([{"question": "1+1?", "answer": "#### 2"}, {"question": "2?", "answer": "#### two"}], ("row 2", "'two'")),
        ([{"question": "1+1?", "answer": 2}], ("row 1", "answer is not text: 2; put it in quotes")),
        ([{"question": "1+1?", "answer": "#### 2"}, {"question": "1+1?", "answer": "#### 3"}], ("two gold answers",)),
        ([{"question": "1+1?", "answer": "#### 1\0"}], ("row 1", "is not a number")),
        ([{"question": "1+1? \ud83d", "answer": "#### 2"}], ("row 1", "question has half a character")),
        ([{"question": " \n", "answer": "#### 2"}], ("row 1", "the question is empty")),
        ([None], ("test.jsonl row 1: found null, expected an object with a question and an answer",)),
        ([{"question": "1+1?", "answer": "#### 2"}, ["q", "a"]], ('row 2: found ["q", "a"], expected an object',)),
    ],
)
def test_bad_rows_are_refused_in_one_line(tmp_path, rows, parts):
    write(tmp_path)
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(HarnessError) as caught:
        load(tmp_path)
    assert "data.path" in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (b"null\n" * 5, "row 1: found null"),
        (b"{", "line 1: not JSON"),
        (b'{"question": "1+1?", "answer": "#### 2"}\n{"question"', "line 2: not JSON"),
        (b"\xff\xfe", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
        (b'{"a": ' + b"[" * 100_000, "line 1: not JSON"),
        (b'[{"question": "1+1?", "answer": "#### 2"}, 3]', "row 2: found 3"),
    ],
)
def test_a_file_that_is_not_rows_is_one_line(tmp_path, text, part):
    write(tmp_path)
    (tmp_path / "test.jsonl").write_bytes(text)
    with pytest.raises(HarnessError, match=part) as refused:
        load(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_json_file_may_be_one_list(tmp_path):
    (tmp_path / "all.json").write_text(json.dumps(ROWS))
    (tmp_path / "all.jsonl").write_text("\ufeff" + "".join(json.dumps(row) + "\n" for row in ROWS))
    one, other = load(tmp_path / "all.json"), load(tmp_path / "all.jsonl")
    assert one.content_hash() == other.content_hash() and len(one.test) + len(one.train) + len(one.dev) == len(ROWS)


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("./nowhere", "file or folder not found"),
        ("missing.jsonl", "file not found in "),
        ("somebody/unknown-data", "is not on this machine .*, and the hub is not asked for it"),
    ],
)
def test_data_that_cannot_be_had(path, part, monkeypatch):
    with pytest.raises(HarnessError, match=part):
        load(path)


def test_a_folder_without_a_train_file_and_a_dev_split_that_leaves_nothing(tmp_path):
    write(tmp_path)
    with pytest.raises(HarnessError, match=r"leave none to train on; set data.dev=16, or another number below 80"):
        load(tmp_path, dev=80)
    (tmp_path / "train.jsonl").unlink()
    with pytest.raises(HarnessError, match=r"has no train\.jsonl"):
        load(tmp_path)


def test_a_training_file_that_is_the_test_file_is_refused(tmp_path):
    write(tmp_path)
    (tmp_path / "test.jsonl").write_bytes((tmp_path / "train.jsonl").read_bytes())
    with pytest.raises(HarnessError, match="every training question is a test question too"):
        load(tmp_path)


def test_a_single_file_too_small_to_be_split_says_so(tmp_path):
    file, folder = tmp_path / "few.jsonl", tmp_path / "folder"
    for row in ROWS:
        file.write_text(json.dumps(row) + "\n")
        try:
            alone = load(file, dev=0)
        except HarnessError as error:
            assert "every one of its 1 rows was drawn into the test split; give more, or a folder" in str(error)
        else:
            with pytest.raises(HarnessError, match=r"test split of .* is empty; give a folder with a train and a test"):
                alone.asked("test", None)
    folder.mkdir()
    with pytest.raises(HarnessError, match=r"is empty; set data\.dev"):
        load(write(folder), dev=0).asked("dev", None)


def test_more_embedded_problems_than_there_are_is_refused():
    with pytest.raises(
        HarnessError, match=r"data\.dev: 1000000 is more than the embedded generator can make; set at most 2000"
    ):
        load("tiny", dev=1_000_000)


def test_the_embedded_problems_have_their_own_splits():
    data = load("tiny", dev=50)
    ids = [{p.id for p in data.split(name)} for name in dataset.SPLITS]
    assert len(ids[1]) == 50 and len(ids[2]) >= 1000
    assert not (ids[0] & ids[1] or ids[0] & ids[2] or ids[1] & ids[2])


def test_real_gsm8k(gsm8k_folder):
    data = load(gsm8k_folder, dev=200)
    assert (len(data.train) + len(data.dev) + data.repeated, len(data.test)) == (7473, 1319)
    golds = [p.gold for p in (*data.train, *data.dev, *data.test)]
    assert sum("," in gold for gold in golds) == 93
    assert sum(gold.startswith("-") for gold in golds) == 5
    assert golds.count("0") == 1
