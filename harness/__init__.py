"""An evaluation-first harness for GRPO experiments."""

import os
import signal
import sys

# How long an OpenMP thread spins before it sleeps. With the default a busy neighbour makes small models on a CPU ten
# times slower; with this an idle machine loses a tenth. Read once, when torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# While `python -m harness.<command>` is still importing (seconds, for torch), Ctrl-C just ends it; once the command
# runs, errors.exit_code answers with a line.
if sys.argv[:1] == ["-m"]:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
