"""The report's sections about what the run was made with: versions, machine, content hashes, settings."""

from __future__ import annotations

import json
from typing import Any

from harness.report.document import Block, Folded, Listing, Loud, Section, Table
from harness.report.summary import Summary
from harness.runs.directory import RunDir


def provenance(run: RunDir, numbers: Summary) -> Section:
    manifest = run.read_manifest()
    rows = []
    for stage, c in manifest.get("stages", {}).items():
        speed = f"{c['tokens'] / max(c['seconds'], 0.01):,.0f}"
        memory = (f"{c['peak_memory_mib']:,}", str(c.get("peak_gpu_mib", "-")))
        rows.append((stage, str(c["start_seconds"]), str(c["seconds"]), f"{c['tokens']:,}", speed, *memory))
    columns = ("stage", "start, s", "work, s", "tokens", "tokens/s", "peak memory, MiB", "peak GPU, MiB")
    blocks: list[Block] = ["What each stage took, in its last attempt if it was resumed:", Table(columns, rows)]
    if wall := manifest.get("wall_seconds"):
        gpu = manifest.get("machine", {}).get("gpu")
        hours = f"; {sum(wall.values()) / 3600:.3f} GPU-hours on one {gpu}" if gpu else ""
        took = ", ".join(f"{stage} {seconds:,.0f} s" for stage, seconds in wall.items())
        spent = [f"Wall time of the stages, imports and all attempts that came to an end included: {took}{hours}."]
        if run.config.eval.engine == "vllm":
            share = run.config.eval.gpu_memory_utilization
            spent.append(f"vLLM fills its share of the GPU (at most {share:g} of it) with KV cache, whatever it needs.")
        blocks.append("\n".join(spent))
    made = list(dict.fromkeys(map(_made_with, manifest.get("made_with", {}).values())))
    if len(made) > 1:
        blocks.append(Loud("The stages were made with different versions of the harness or of its packages:"))
    test = numbers.selftest
    content = ", ".join(f"{name} {value[:16]}" for name, value in manifest.get("inputs", {}).items())
    scorer = (
        f"Scorer version {numbers.conditions.scorer}; before each evaluation its self-test passed on "
        f"{test.golds:,} golds in {test.spellings:,} spellings and {test.adversarial:,} adversarial texts."
    )
    blocks.append("\n".join([*made, f"Content: {content}", scorer]))
    return Section("Time and provenance", blocks)


def _made_with(made: dict[str, Any]) -> str:
    changes = f" with changes ({made['diff_sha256'][:8]})" if made["dirty"] else ""
    commit = (made["commit"] or "not from a git checkout") + changes
    return f"Harness {commit}; " + ", ".join(f"{name} {version}" for name, version in made["versions"].items())


def settings(run: RunDir, numbers: Summary) -> Section:
    """The experiment with every default, and the manifest; for the page, whose reader may not have the directory."""
    manifest = run.read_manifest()
    for made in manifest.get("made_with", {}).values():
        if made.get("diff"):
            made["diff"] = "see manifest.json"
    shown = json.dumps(manifest, indent=2, ensure_ascii=False)
    files = [("config.yaml: every setting", run.config.to_yaml()), ("manifest.json: what it was made with", shown)]
    return Section("Settings and manifest", [Folded(name, [Listing(text)]) for name, text in files])
