"""Writing an export: put in place only when it is complete and has passed its check against the training."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from harness.config import card
from harness.export import model_card, record
from harness.export.record import Export, Wanted
from harness.export.stored import BYTES
from harness.report import summary
from harness.report.summary import Summary
from harness.runs.results import read_evaluation
from harness.util import files
from harness.util.console import say
from harness.util.errors import HarnessError
from harness.util.text import one_line, quoted

if TYPE_CHECKING:
    import torch

    from harness.export.merge import Delta
    from harness.models.trained import Trained


def export(trained: Trained, args: argparse.Namespace) -> Path:
    """Write the export that --to asks for and return its folder, which is never incomplete. The caller holds the lock.

    Raises HarnessError if the folder holds something else, and for an export that lost the training.
    """
    from harness.export import fidelity, merge

    numbers = _summary(trained)
    make = _gguf if args.to == "gguf" else _merged
    added = {} if trained.full else merge.deltas(trained.base, trained.path)
    wanted = Wanted(args.to, trained.hash, trained.base.weights_hash, _stored(trained, added, args))
    folder = args.out or _place(trained, args.to, wanted.stored)
    if folder.exists():
        _same(folder, wanted)
        say(f"{one_line(str(folder))}: done already.")
        return folder
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    _room(folder, trained, wanted)
    asked = fidelity.probes(trained)
    made = Export(
        **dataclasses.asdict(wanted),
        run=trained.run.path.resolve().name,
        seed=trained.seed,
        step=trained.step,
        full=trained.full,
        vision="vision_config" in trained.base.config,
        change=None,
        check=None,
    )
    try:
        made = make(trained, added, args, part, made, asked)
        _judge(made, fidelity.KEPT, fidelity.SIZE)
        files.write_text(part / card.NAME, model_card.text(trained.run, numbers, made))
        names = tuple(sorted(file.name for file in part.iterdir()))
        record.write(part, dataclasses.replace(made, files=names))
        part.replace(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    for line in model_card.kept(made):
        say(line)
    say(f"Export: {one_line(str(folder))}")
    return folder


def _summary(trained: Trained) -> Summary:
    """The run's summary, after a check that its numbers are those of the exported weights."""
    run = trained.run
    result = run.tuned(trained.seed) / "result.json"
    if not (run.summary.exists() and result.exists()):
        raise HarnessError(
            f"{run.path}: its tuned evaluation or report is missing, and the model card needs their results; finish it "
            f"first: python -m harness.run {quoted(run.path)}"
        )
    if read_evaluation(result).adapter != trained.hash:
        raise HarnessError(f"{trained.path}: has changed since it was evaluated; restore it or run again")
    return summary.read(run.path)


def _stored(trained: Trained, added: dict[str, Delta], args: argparse.Namespace) -> str:
    """How the weights will be stored: the kind of a GGUF, or a dtype, by default the base's."""
    from harness.export import merge

    own = str(merge.stored_dtype(trained.base, added)).removeprefix("torch.")
    gemma = trained.base.config.get("model_type", "").startswith("gemma3")
    if args.to == "gguf":
        if gemma and args.quant == "f16":
            say("Gemma 3's weights fit in f16, but its activations overflow in a program that also computes in f16.")
        return args.quant
    dtype = args.dtype or own
    if gemma and dtype == "float16":
        raise HarnessError("--dtype float16: Gemma 3's activations overflow in it; give bfloat16 or float32")
    return dtype


def _place(trained: Trained, to: str, stored: str) -> Path:
    seeds = trained.run.config.train.seeds
    name = to if to == "merged" else f"{to}-{stored}"
    return trained.run.path / "export" / (f"{name}-seed-{trained.seed}" if len(seeds) > 1 else name)


def _same(folder: Path, wanted: Wanted) -> None:
    """Raise HarnessError unless the folder holds the wanted export, and all of its files."""
    if not (folder / record.NAME).is_file():
        raise HarnessError(f"{folder}: exists and is not an export of ours; give another folder with --out")
    there = record.read(folder)
    for name, value in dataclasses.asdict(wanted).items():
        if (found := getattr(there, name)) != value:
            raise HarnessError(
                f"{folder}: holds another export ({name} {found[:12]}, not {value[:12]}); delete it, or give another "
                f"folder with --out"
            )
    if gone := [name for name in there.files if not (folder / name).exists()]:
        raise HarnessError(f"{folder}: {gone[0]} is missing; delete the folder and export again")


def _room(folder: Path, trained: Trained, wanted: Wanted) -> None:
    """Raise HarnessError if the disk is too small. For a GGUF, a float32 checkpoint is written next to it first."""
    bytes_each = BYTES[wanted.stored] if wanted.to == "merged" else BYTES["float32"] + BYTES["bfloat16"]
    needed = trained.base.parameters * bytes_each
    folder.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder.parent).free
    if free < needed:
        raise HarnessError(
            f"{folder.parent}: {needed / 2**30:.1f} GiB are needed and {free / 2**30:.1f} are free; make room, or give "
            f"another folder with --out"
        )


def _write(trained: Trained, added: dict[str, Delta], folder: Path, dtype: torch.dtype) -> set[str]:
    """Write the trained model as a checkpoint; returns the names of the matrices that an adapter changes."""
    from harness.export import merge
    from harness.models import prompts

    say(f"Merging {len(added)} matrices in float32." if added else "Writing the weights, all of which were trained.")
    merge.write(trained.base, added, dtype, folder, trained.model if trained.full else None)
    prompts.write_stop_ids(trained.base, folder)
    return {name for name, delta in added.items() if delta.b.count_nonzero()}


def _merged(
    trained: Trained, added: dict[str, Delta], args: argparse.Namespace, part: Path, made: Export, asked: list
) -> Export:
    import torch

    from harness.export import fidelity, merge
    from harness.models.checkpoint import Checkpoint
    from harness.models.hf_engine import load_base

    dtype = getattr(torch, made.stored)
    targets = _write(trained, added, part, dtype)
    say("Loading the export again and comparing it with the training.")
    change = merge.change(trained.base, part, targets)
    check = fidelity.measure(
        trained, lambda: load_base(Checkpoint("export", part), "fp32"), lambda weight: weight.to(dtype).float(), asked
    )
    return dataclasses.replace(made, change=change, check=check)


def _gguf(
    trained: Trained, added: dict[str, Delta], args: argparse.Namespace, part: Path, made: Export, asked: list
) -> Export:
    import torch

    from harness.export import fidelity
    from harness.export import gguf as gguf_export

    script, stored = gguf_export.converter(args.llama_cpp), made.stored
    file = part / f"{made.run}-{stored}.gguf"
    _write(trained, added, part / "merged", torch.float32)
    say(f"Converting to GGUF ({stored}).")
    gguf_export.convert(script, part / "merged", file, stored, made.run)
    shutil.rmtree(part / "merged")
    say("Loading the export again and comparing it with the training.")
    check = fidelity.measure(trained, lambda: gguf_export.load(file, trained.base), gguf_export.rounding(stored), asked)
    return dataclasses.replace(made, check=check, file=file.name)


def _judge(made: Export, enough: float, size: tuple[float, float]) -> None:
    """Raise HarnessError for an export that lost the training."""
    check, change, stored = made.check, made.change, made.stored
    untouched = change.untouched if change else 0
    kept = check is None or (check.correlation >= enough and size[0] <= check.size <= size[1])
    if kept and not untouched:
        return
    remedy = {
        "float32": "the training changed too little to tell, or the checkpoint is not the one that was trained",
        "q8_0": "give --quant f16, which is finer, or --to merged --dtype float32",
        "bf16": "give --quant f16, which is finer, or --to merged --dtype float32",
        "f16": "give --to merged --dtype float32",
    }.get(stored, "give --dtype float32, which keeps it")
    raise HarnessError(
        f"in {stored} the weights lose the training: their log-prob changes correlate {check.correlation:.3f} "
        f"with the training's (expected at least {enough}) and are {check.size:.2f} times as large (expected "
        f"{size[0]} to {size[1]}; the training's are {check.trained_change:.2g} nats on average)"
        + (f", {untouched} of {change.targets} trained matrices equal the base's" if untouched else "")
        + f"; {remedy}"
    )
