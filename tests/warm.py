"""Commands without the seconds that importing torch, transformers and TRL takes.

A process that has imported these libraries, but none of our code, forks itself for each command. The command is a
normal process (with its own streams, environment, signals and exit code, a child of the process that started it, which
can be killed with -9). It runs `python -m harness.NAME` from the first line of our code on, and starts its stages in
the same way. What only a new interpreter can show is tested with `cold=True`.

Ray's workers are such forks too, where a test wants that (`ray_workers`), and so are the stages that they start.

Linux only, because processes are adopted; elsewhere all commands start a new interpreter.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import json
import logging
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent
RAY = "HARNESS_TESTS_RAY_WORKERS"  # the name of the socket that ray_workers listens on
WORKER = "ray._private.workers.default_worker"  # the program of Ray's workers
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LIBRARIES = (
    "torch", "transformers", "trl", "peft", "datasets", "safetensors.torch", "pydantic.main", "pydantic.json_schema",
    "yaml", "numpy", "rich.progress", "rich.markdown", "rich.live", "rich.table", "rich._emoji_codes", "psutil",
    "jinja2", "pyarrow.parquet", "pynvml", "transformers.models.gemma3.modeling_gemma3",
    "transformers.generation.utils", "transformers.generation.streamers", "trl.trainer.grpo_trainer",
    "peft.utils.transformers_weight_conversion",
)  # fmt: skip


class _Popen(subprocess.Popen):
    """subprocess.Popen, except that `python -m harness.NAME` is forked instead of started in a new interpreter."""

    def _execute_child(self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest) -> None:
        if list(args[:2]) != [sys.executable, "-m"] or args[2].partition(".")[0] != "harness":
            return super()._execute_child(args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest)
        pipes, session = rest[3:9], rest[-2]
        streams = [end if end != -1 else number for number, end in enumerate((pipes[0], pipes[3], pipes[5]))]
        environment = {os.fsdecode(name): os.fsdecode(value) for name, value in (env or os.environ).items()}
        command = {
            "arguments": list(map(str, args[2:])), "cwd": str(cwd or os.getcwd()), "environment": environment,
            "session": session,
        }  # fmt: skip
        self.pid = self._forked(command, streams, preexec_fn, pass_fds)
        self._child_created = True
        self._close_pipe_fds(*pipes)

    def _forked(self, command: dict[str, Any], streams: list[int], preexec_fn: Any, pass_fds: Collection[int]) -> int:
        raise NotImplementedError


# --- in the tests -------------------------------------------------------------------------------------------


class Popen(_Popen):
    """A command as a fork of the process that has imported the libraries; it becomes a child of this one."""

    server: int | None = None  # the id of the process that forks
    _orders: socket.socket
    _one_at_a_time = threading.Lock()

    def _forked(self, command, streams, preexec_fn, pass_fds) -> int:
        assert preexec_fn is None and not pass_fds
        return Popen.fork(json.dumps(command).encode(), streams)

    @staticmethod
    def fork(command: bytes, streams: Sequence[int]) -> int:
        with Popen._one_at_a_time:
            _serve_here()
            socket.send_fds(Popen._orders, [command], streams)
            return int(Popen._orders.recv(32))


@contextmanager
def ray_workers() -> Iterator[tuple[dict[str, str], dict[int, int]]]:
    """Workers of Ray that have imported the libraries, for Rays that are started with the variables this yields.

    With them, it yields which process of Ray has asked for a worker (its raylet), by the worker's process id: the
    worker is a child of this process and not of the raylet. This process must not call ray.init itself, which keeps
    its other threads from running until the first workers are there.
    """
    name, raylets = f"harness-tests-{os.getpid()}", {}
    path = os.pathsep.join(filter(None, [str(ROOT / "tests" / "ray_worker"), str(ROOT), os.environ.get("PYTHONPATH")]))
    _serve_here()  # it imports the libraries while Ray starts
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asked:
        asked.bind(f"\0{name}")
        asked.listen()
        threading.Thread(target=_answer, args=(asked, raylets), daemon=True).start()
        yield {RAY: name, "PYTHONPATH": path}, raylets
        asked.shutdown(socket.SHUT_RDWR)  # ends the thread


def _answer(asked: socket.socket, raylets: dict[int, int]) -> None:
    with suppress(OSError):  # it was shut down
        while True:
            with asked.accept()[0] as orders:
                message, streams, _, _ = socket.recv_fds(orders, 1 << 20, 3)
                worker = Popen.fork(message, streams)
                raylets[worker] = json.loads(message)["raylet"]
                orders.send(b"done")
            for descriptor in streams:
                os.close(descriptor)


def _serve_here() -> None:
    """Start the process that forks, once. It ends when this one does, because its socket is then closed."""
    if Popen.server is not None:
        return
    _adopt_orphans()
    Popen._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        server = subprocess.Popen(
            [sys.executable, Path(__file__), str(theirs.fileno())], pass_fds=[theirs.fileno()], cwd=ROOT,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        Popen.server = server.pid


def _adopt_orphans() -> None:
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER, from <linux/prctl.h>


# --- in a process that Ray has started as a worker ------------------------------------------------------------


def become_ray_worker() -> NoReturn:
    """Ask the tests for a worker in place of this process."""
    command = {
        "arguments": [WORKER, *sys.orig_argv[2:]],
        "cwd": os.getcwd(), "environment": dict(os.environ), "session": True, "raylet": os.getppid(),
    }  # fmt: skip
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as orders:
        orders.connect(f"\0{os.environ[RAY]}")
        socket.send_fds(orders, [json.dumps(command).encode()], [0, 1, 2])
        orders.recv(32)
    os._exit(0)


# --- in the process that forks ------------------------------------------------------------------------------


def _serve(orders: socket.socket) -> None:
    """Fork a command for each request, and answer with its process id."""
    while True:
        message, streams, _, _ = socket.recv_fds(orders, 1 << 20, 3)
        if not message:
            return
        told, telling = os.pipe()
        if not (between := os.fork()):
            # The command's parent ends at once: the process that asked for the command adopts it.
            parent = os.getpid()
            if not (pid := os.fork()):
                while os.getppid() == parent:
                    time.sleep(0.001)
                _become(json.loads(message), streams)
            os.write(telling, str(pid).encode())
            os._exit(0)
        os.waitpid(between, 0)
        orders.send(os.read(told, 32))
        for descriptor in (*streams, told, telling):
            os.close(descriptor)


# --- in a command -------------------------------------------------------------------------------------------


def _serve_from_here() -> None:
    """Let a fork of this process, which will soon have threads of Ray's, do the forking of its commands."""
    _adopt_orphans()
    Popen._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if not (pid := os.fork()):
        Popen._orders.close()
        _serve(theirs)
        os._exit(0)
    theirs.close()
    Popen.server = pid


class _Forking(_Popen):
    """subprocess.Popen for a command that was forked: its stages are forks of it with its state cleared."""

    def _forked(self, command, streams, preexec_fn, pass_fds) -> int:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # the fork must not handle our signals
        if pid := os.fork():
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            return pid
        atexit._clear()
        _become(command, streams, preexec_fn, pass_fds)


def _become(
    command: dict[str, Any], streams: Sequence[int], preexec_fn: Any = None, kept: Collection[int] = ()
) -> NoReturn:
    """Run `python -m ARGUMENTS` in this process, as in a new interpreter, and end it."""
    code: Any = 1
    try:
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        if command["session"]:
            os.setsid()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        _forget()
        for descriptor in map(int, os.listdir("/proc/self/fd")):
            if descriptor > 2 and descriptor not in kept:
                with suppress(OSError):
                    os.close(descriptor)
        if preexec_fn:
            preexec_fn()
        os.chdir(command["cwd"])
        os.environ.clear()
        os.environ.update(command["environment"])
        tempfile.tempdir = None  # the environment may name another
        module, *arguments = command["arguments"]
        if module == WORKER:
            _serve_from_here()
            subprocess.Popen = Popen
        else:
            subprocess.Popen = _Forking
        sys.argv = ["-m", *arguments]  # as Python has it until the module is found
        sys.orig_argv = [sys.executable, "-m", module, *arguments]
        sys.stdout.reconfigure(line_buffering=os.isatty(1))
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(code or 0)


def _forget() -> None:
    """Keep only the libraries of this process: our modules are imported as if for the first time."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "harness"]:
        del sys.modules[name]
    logging.getLogger("harness").handlers.clear()
    warnings.showwarning = _SHOW_WARNING
    gc.collect()  # closes their files before the numbers are given to others


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    for _library in LIBRARIES:
        importlib.import_module(_library)
    _SHOW_WARNING = warnings.showwarning
    gc.collect()
    gc.freeze()  # existing objects need not be scanned in every command
    _serve(socket.socket(fileno=int(sys.argv[1])))
