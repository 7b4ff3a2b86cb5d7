"""What a command sets up in its own process, before anything heavy is imported."""

from __future__ import annotations

import io
import os
import sys


def prepare() -> None:
    """Decide the environment and the standard streams of this process; every command begins with it."""
    set_environment()
    open_streams()


def set_environment() -> None:
    """Set what torch and CUDA read once, when they are loaded."""
    # How long an OpenMP thread spins before it sleeps. With the default a busy neighbour makes small models on a CPU
    # ten times slower; with this an idle machine loses a tenth.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    # One GPU: the trainer would spread a step over all that it sees, and so multiply its batch. NVML, which is asked
    # about memory, counts by bus, and so must CUDA.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        os.environ |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "0"}
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.partition(",")[0]


def open_streams() -> None:
    """Make the standard streams usable where they are closed, or cannot hold our signs."""
    # A descriptor that was closed (`>&-`) is the next opened file's: what is printed would then go into that.
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    # An output that cannot hold our signs (≥, −) shows their numbers.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
