"""Errors that a user can cause: one line that says what to do, exit code 2, never a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

# The stages of harness.run inherit its lock, and find its file named here.
LOCK_HELD = "HARNESS_LOCK_HELD"


class HarnessError(Exception):
    """Something the user can put right. The message is one line and names the remedy."""


def exit_code(main: Callable[[], int | None]) -> int:
    """Run a command's main function and turn what it raises into the exit code that the shell sees.

    0 on success, 2 with one line on stderr for a HarnessError, 130 for Ctrl-C. Anything else is a bug
    of ours and keeps its traceback.
    """
    try:
        return main() or 0
    except HarnessError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        if LOCK_HELD not in os.environ:  # a stage leaves the last word to the command that started it
            print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader (head, less) has gone: nothing to say, and nobody to say it to
        sys.stderr.close()
        return 0
