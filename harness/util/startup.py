"""What a command sets up in its own process before it imports heavy libraries."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

one_command = False  # whether this process is one command, as cli.exit_code says

# The GPUs that the user gave the command, as in CUDA_VISIBLE_DEVICES, or ALL. A process by itself uses the first.
GIVEN_GPUS, ALL = "HARNESS_GIVEN_GPUS", "all"
# Set: the process id of the process that started this one, if this one must not outlive it.
TIED_TO = "HARNESS_TIED_TO"


def prepare() -> None:
    """Set the environment and the standard streams of this process; every command begins with it."""
    set_environment()
    open_streams()


def set_environment() -> None:
    """Set what torch and CUDA read once, when they are loaded."""
    # How long an OpenMP thread spins before it sleeps. With the default, small models on a CPU are ten times slower
    # when another process is busy; with this value they are a tenth slower on an idle machine.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # One GPU: the trainer would spread a step over all visible GPUs and so multiply its batch. NVML, which reports the
    # memory, numbers GPUs by bus, so CUDA must too.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ.setdefault(GIVEN_GPUS, ALL if visible is None else visible)
    if visible is None:
        os.environ |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "0"}
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.partition(",")[0]


@contextmanager
def hidden(*packages: str) -> Iterator[None]:
    """Let imports take these packages for not installed, if they are not loaded yet.

    A library that can do without them loads in a fraction of the time, and stays without them: nothing is hidden but in
    a process that is one command and ends with it.
    """
    absent = [name for name in packages if one_command and name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def open_streams() -> None:
    """Make the standard streams usable even if they are closed or their encoding has no ≥ or −."""
    # The next file that is opened takes over a closed descriptor (`>&-`), and would receive what is printed.
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    # Characters that the encoding does not have (≥, −) are shown as escapes.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
