"""What a stage prints, and what it keeps from being printed."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT

LIBRARY = """
import os
from harness.console import hushed
with hushed():
    print("from Python")
    os.write(1, b"from C")
    os.write(2, b"and its errors")
print("between")
with hushed(False):
    print("asked for")
"""


def test_what_a_library_prints_is_dropped_unless_it_is_asked_for():
    done = subprocess.run([sys.executable, "-c", LIBRARY], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("between\nasked for\n", "")
