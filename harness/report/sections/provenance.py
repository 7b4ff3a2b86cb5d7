"""The report's sections about how the run was made: time, versions, machine, content hashes, settings."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Container

from harness.models import registry
from harness.report.document import Block, Folded, Listing, Loud, Section, Table
from harness.report.summary import Summary
from harness.runs import stages
from harness.runs.directory import RunDir
from harness.runs.manifest import MadeWith
from harness.util import typed


def provenance(run: RunDir, numbers: Summary) -> Section:
    manifest = run.read_manifest()
    rows = []
    for stage, c in manifest.stages.items():
        speed = f"{c.tokens / max(c.seconds, 0.01):,.0f}"
        memory = (f"{c.peak_memory_mib:,}", "" if c.peak_gpu_mib is None else f"{c.peak_gpu_mib:,}")
        rows.append((stage, f"{c.start_seconds:.1f}", f"{c.seconds:.1f}", f"{c.tokens:,}", speed, *memory))
    columns = ("stage", "start, s", "work, s", "tokens", "tokens/s", "peak memory, MiB", "peak GPU, MiB")
    blocks: list[Block] = ["What each stage took, in its last attempt if it was resumed:", Table(columns, rows)]
    if wall := manifest.wall_seconds:
        gpu = manifest.machine and manifest.machine.gpu
        many = run.config.train.processes  # GPUs of a training
        used = sum(seconds * (many if stage.startswith("training") else 1) for stage, seconds in wall.items())
        on = f"{many} {gpu} for a training, one otherwise" if many > 1 else f"one {gpu}"
        hours = f"; together {used / 3600:.3f} GPU-hours on {on}" if gpu else ""
        took = ", ".join(f"{stage} {seconds:,.0f} s" for stage, seconds in wall.items())
        spent = [
            f"Wall time of each stage, the sum of all its attempts, imports included: {took}{hours}"
            f"{_untimed(run, wall)}. Not in it: an attempt that was killed together with the command that ran it."
        ]
        if note := registry.kind(run.config.eval).memory_note(run.config.eval):
            spent.append(note)
        blocks.append("\n".join(spent))
    made = list(dict.fromkeys(map(_made_with, manifest.made_with.values())))
    if len(made) > 1:
        blocks.append(Loud("The stages were made with different versions of the harness or of its packages:"))
    test = numbers.selftest
    content = ", ".join(f"{name} {value[:16]}" for name, value in manifest.inputs.items())
    scorer = (
        f"Scorer version {numbers.conditions.scorer}; before each evaluation its self-test passed on "
        f"{test.golds:,} golds in {test.spellings:,} spellings and {test.adversarial:,} adversarial texts."
    )
    blocks.append("\n".join([*made, f"Content: {content}", scorer]))
    return Section("Time and provenance", blocks)


def _untimed(run: RunDir, wall: Container[str]) -> str:
    """The stages without a wall time, which only the command for the whole experiment notes.

    The base evaluation makes the base again, too.
    """
    timed = {"base again": "base evaluation"}
    missing = [name for stage in stages.stages(run) if (name := stage.name) not in wall and timed.get(name) not in wall]
    if not missing:
        return ""
    return f", without {', '.join(missing)}: run by a command of its own, or taken from another run"


def _made_with(made: MadeWith) -> str:
    changes = f" with changes ({made.diff_sha256[:8]})" if made.dirty else ""
    commit = (made.commit or "not from a git checkout") + changes
    return f"Harness {commit}; " + ", ".join(f"{name} {version}" for name, version in made.versions.items())


def settings(run: RunDir, numbers: Summary) -> Section:
    """The experiment with every default, and the manifest; for the page, which may be read without the directory."""
    manifest = run.read_manifest()
    short = {
        stage: dataclasses.replace(made, diff="see manifest.json") if made.diff else made
        for stage, made in manifest.made_with.items()
    }
    noted = typed.plain(dataclasses.replace(manifest, made_with=short))
    filled = {section: values for section, values in noted.items() if values}
    shown = json.dumps(filled, indent=2, sort_keys=True, ensure_ascii=False)
    files = [("config.yaml: every setting", run.config.to_yaml()), ("manifest.json: what it was made with", shown)]
    return Section("Settings and manifest", [Folded(name, [Listing(text)]) for name, text in files])
