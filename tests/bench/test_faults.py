"""The fault campaign in its small form: seeded damage to a run, bad inputs, and a kill; each ends as it must."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from harness.bench import faults, kills
from harness.config import loading
from tests.conftest import copied

FAULTS = ("traceback", "hang", "more than a line", "silently other numbers", "something written")


def none_of_them(found: Counter[str], said: str) -> None:
    assert not [name for name in FAULTS if found[name]], said


@pytest.mark.parametrize("seed", range(2))
def test_bad_inputs_are_refused_with_a_line_or_accepted(capfd, seed):
    found = faults.inputs(random.Random(seed), 40, loading.keys(), faults.LONGEST)
    none_of_them(found, capfd.readouterr().err)
    assert found["inputs"] == found["refused with a line"] + found["accepted"] == 40


def test_a_damaged_file_gives_the_same_numbers_or_a_line(finished, tmp_path, capfd):
    run = copied(finished, tmp_path) / finished.name
    expected = (finished / "summary.json").read_bytes()
    found = faults.corruptions(random.Random(0), 40, run, expected, ("report", "compare"))
    none_of_them(found, capfd.readouterr().err)
    assert found["refused with a line"] and found["same numbers"]


def test_a_fault_is_found():
    """The campaign is not blind."""

    def silent(arguments):
        return 0

    def broken(arguments):
        raise ZeroDivisionError

    def slow(arguments):
        import time

        time.sleep(60)

    assert faults.forked(silent, [], 60).fault is None
    assert faults.forked(broken, [], 60).fault == "traceback"
    assert faults.forked(slow, [], 0.2).fault == "hang"


@pytest.mark.parametrize("name", ["summary.json", "report.md", "base/result.json", "manifest.json"])
@pytest.mark.parametrize("command", ["report", "rescore", "run", "compare"])
def test_a_folder_or_a_link_to_itself_in_place_of_a_file(finished, tmp_path, name, command):
    run = copied(finished, tmp_path) / finished.name
    for number in range(2):
        (run / name).unlink() if (run / name).is_file() or (run / name).is_symlink() else (run / name).rmdir()
        (run / name).symlink_to((run / name).name) if number else (run / name).mkdir()
        whole = [str(finished)] if command == "compare" else []
        ended = faults.forked(faults.command(command), [str(run), *whole], faults.LONGEST)
        assert ended.fault is None, ended.said
        if (run / name).is_file() and not (run / name).is_symlink():
            return  # it was made again


def test_a_place_that_cannot_be_made_is_one_line():
    ended = faults.forked(faults.command("run"), ["quickstart", "--results", "/proc/nope"], faults.LONGEST)
    assert ended.fault is None and ended.code == 2 and "cannot be made" in ended.said


def test_a_killed_report_and_a_killed_scoring_are_made_again(finished, tmp_path):
    run = copied(finished, tmp_path) / finished.name
    found = kills.redrawing(random.Random(0), 2, run, (finished / "summary.json").read_bytes())
    assert found["kills"] == 2 and found["ended with the same bytes"] == 2 and not found["faults"]
