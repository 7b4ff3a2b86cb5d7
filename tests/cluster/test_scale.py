"""The table of an evaluation in parts, and the projection of a sweep."""

from __future__ import annotations

import pytest

from harness.cluster import scale
from harness.cluster.scale import Measured, Pieces
from harness.runs import directory
from harness.runs.manifest import Cost
from harness.util.errors import HarnessError

PIECES = Pieces(evaluation=30.0, completions=80.0, training=20.0, steps=100.0, reuse=10.0)


def test_a_row_is_compared_with_the_last_one_of_one_part_and_the_bytes_with_the_first():
    rows = [
        Measured(1, 200.0, 120.0, 70.0, b"same"), Measured(1, 110.0, 40.0, 64.0, b"same"),
        Measured(2, 66.0, 30.0, 32.0, b"same"), Measured(4, 55.0, 30.0, 20.0, b"other"),
    ]  # fmt: skip
    shown = scale.compared(rows)
    assert [row["speed-up"] for row in shown] == ["1.00", "1.00", "1.67", "2.00"]
    assert [row["of completions"] for row in shown] == ["1.00", "1.00", "2.00", "3.20"]
    assert [row["equal"] for row in shown] == ["yes", "yes", "yes", "NO"]


def test_the_projection_is_the_base_once_and_the_members_in_turns():
    alone = 30 + 80 + (10 + 20 + 100 + 30 + 80)
    assert PIECES.projected(1, 1) == alone
    assert PIECES.projected(4, 1) == 110 + 4 * 240
    assert PIECES.projected(4, 4) == 30 + 20 + 240
    assert PIECES.projected(4, 3) == 30 + 80 / 3 + 2 * 240  # in two turns
    assert PIECES.projected(2, 8) == 30 + 10 + (10 + 20 + 100 + 30 + 20)  # four parts for each
    assert PIECES.projected(4, 8) < PIECES.projected(4, 4) < PIECES.projected(4, 2)


def test_the_pieces_are_those_of_the_manifests(tmp_path):
    made, reused = (directory.open_run("quickstart", [f"lora.r={rank}"], tmp_path) for rank in (4, 8))

    def cost(start: float, seconds: float, **counts: int) -> Cost:
        return Cost(start_seconds=start, seconds=seconds, tokens=1, peak_memory_mib=1, **counts)

    with pytest.raises(HarnessError, match="has to be a finished run of one seed that made its base in one part"):
        Pieces.of(made, reused)
    stages = {"base": cost(9, 40, completions=5), "training (seed 3407)": cost(7, 60, steps=60)}
    made.note("stages", stages | {"tuned (seed 3407)": cost(8, 44, completions=5)})
    made.note("wall_seconds", {"base evaluation": 65.0, "training": 85.0, "tuned evaluation": 79.0})
    reused.note("wall_seconds", {"base evaluation": 12.0})
    assert Pieces.of(made, reused) == Pieces(evaluation=35.0, completions=44, training=25.0, steps=60, reuse=12.0)


@pytest.mark.parametrize("text", ["", "1,,2", "0", "two"])
def test_numbers_that_are_none_are_refused(text):
    with pytest.raises(HarnessError, match="allowed: numbers from 1 with commas between them"):
        scale._numbers("--parts", text)
