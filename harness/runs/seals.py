"""What each file of a run was when its stage ended, and what it was made from: seals, in the manifest.

A stage seals its files before it gives the last of them, its outcome, its name. So while the outcome is there, they
must be as sealed: one that has changed or is missing would change numbers without a word. A run of a version that made
no seals has none, and is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.runs import curve
from harness.runs.directory import RunDir
from harness.runs.manifest import Seal
from harness.runs.results import Evaluation
from harness.util import files, typed
from harness.util.console import say
from harness.util.errors import HarnessError
from harness.util.text import quoted

DAMAGED = ".damaged"  # is added to the name of completions that are made again


@dataclass(frozen=True, slots=True)
class Broken:
    """A file that is not as sealed."""

    path: str  # in the run directory
    seal: Seal
    why: str
    missing: bool = False
    stale: bool = False  # it is as it was written, but from something that has been made again since


def hashes(run: RunDir, paths: Iterable[Path]) -> dict[str, str]:
    """SHA-256 by path in the run directory of those files that exist."""
    return {_inside(run, path): files.file_hash(path) for path in paths if path.is_file()}


def seal(run: RunDir, outcome: Path, written: Mapping[str, tuple[str, Mapping[str, str]]]) -> None:
    """Record the files of a stage before its outcome has its name, instead of those of an earlier attempt.

    written: by path in the run directory, the SHA-256 and what it was made from.
    """
    last = _inside(run, outcome)
    with run.changing() as noted:
        earlier = run.read_manifest().seals
        kept = {path: sealed for path, sealed in earlier.items() if sealed.outcome != last}
        for path, (sha256, made_from) in written.items():
            kept[path] = Seal(sha256, last, dict(made_from), _replaced(run, path, earlier.get(path), sha256))
        noted["seals"] = {path: typed.plain(sealed) for path, sealed in kept.items()}


def _replaced(run: RunDir, path: str, before: Seal | None, sha256: str) -> str | None:
    """The hash that a file may have until it is written: that of its earlier seal, or of a version without seals."""
    if before is None:
        return next((there for there in hashes(run, [run.path / path]).values() if there != sha256), None)
    return before.sha256 if before.sha256 != sha256 else before.replaced


def seal_texts(run: RunDir, outcome: Path, contents: Mapping[Path, str], made_from: Mapping[str, str]) -> None:
    """The same for files that are about to be written with these contents."""
    seal(run, outcome, {_inside(run, file): (files.text_hash(text), made_from) for file, text in contents.items()})


def write_text(run: RunDir, file: Path, content: str, made_from: Mapping[str, str]) -> None:
    """Seal and write a file that is its stage's outcome, and its only one."""
    seal_texts(run, file, {file: content}, made_from)
    files.write_text(file, content)


def write_result(
    run: RunDir, folder: Path, result: Evaluation, trained: Path | None = None, made_from: Iterable[Path] = ()
) -> None:
    """Write the result.json of an evaluation, and seal its folder; an older report is deleted first.

    Otherwise a kill before the next report would leave the old one, and the run would count as complete. trained: the
    file whose hash is result.adapter; made_from: files of the run that decided what was asked.
    """
    file, content = folder / "result.json", files.as_json(typed.plain(result))
    made = hashes(run, (folder / name for name in ("samples.jsonl", "proof.json", "source.json")))
    if trained is None and (before := run.read_manifest().seals.get(_inside(run, folder / "samples.jsonl"))):
        source = before.made_from  # scored again
    else:
        source = {_inside(run, trained): result.adapter} if trained and result.adapter else {}
    written = {path: (sha256, source) for path, sha256 in made.items()}
    seal(run, file, written | {_inside(run, file): (files.text_hash(content), made | hashes(run, made_from))})
    if not file.exists() or file.read_bytes() != content.encode():
        run.report.unlink(missing_ok=True)
    files.write_text(file, content)


def whole(run: RunDir) -> bool:
    """Whether every sealed file is as it was written. Raises HarnessError if there is no manifest to tell it by."""
    _has_manifest(run)
    return not any(broken(run))


def changed(file: Path, sealed: Seal) -> bool:
    """Whether a file is other than sealed; what a write that was killed has not yet replaced is as it was before."""
    return files.file_hash(file) not in (sealed.sha256, sealed.replaced)


def broken(run: RunDir, asked: Callable[[Path], bool] = lambda file: True) -> Iterator[Broken]:
    """The sealed files of finished stages that have changed or are missing, or whose sources have been made again.

    asked: of which files.
    """
    seals = run.read_manifest().seals
    for path, sealed in sorted(seals.items()):
        file = run.path / path
        if not asked(file):
            continue
        if not (run.path / sealed.outcome).exists():
            continue  # the stage is not done, and will write the file again
        if not file.is_file():
            if "/checkpoints/" not in path:  # those may be deleted when they are no longer needed
                yield Broken(path, sealed, "is missing", missing=True)
        elif changed(file, sealed):
            yield Broken(path, sealed, "has changed since it was written")
        elif remade := [name for name, was in sealed.made_from.items() if name in seals and seals[name].sha256 != was]:
            yield Broken(path, sealed, f"was made from another {remade[0]}", stale=True)


def check(run: RunDir, *, redrawn: bool = False, remade: bool = False) -> None:
    """Raise HarnessError for the first file that is not as sealed.

    redrawn: the report is drawn again anyway, with a line for each of its files; remade: so is all that is made from
    other files.
    """
    _has_manifest(run)
    for each in broken(run):
        if redrawn and each.seal.outcome == run.report.name:
            if not each.stale:
                say(f"{run.path / each.path}: {each.why}; it is drawn again.")
        elif not (remade and each.stale):
            raise HarnessError(
                f"{run.path / each.path}: {each.why}; restore it, or python -m harness.run {quoted(run.path)} makes it "
                "again"
            )


def check_files(run: RunDir, folder: Path) -> None:
    """Raise HarnessError for the first file in a folder, or for a file, that is other than sealed."""
    for each in broken(run, lambda file: file.is_relative_to(folder)):
        if not each.missing and not each.stale:
            raise HarnessError(f"{run.path / each.path}: {each.why}; restore it, or delete {folder} and run again")


def mend(run: RunDir) -> None:
    """Let the stages whose files are not as sealed run again, with a line for each. The caller holds the run's lock.

    Completions that have changed are kept under another name. Raises HarnessError for a training, which takes hours
    and may not come out the same.
    """
    _has_manifest(run)
    for each in list(broken(run)):
        file, outcome = run.path / each.path, run.path / each.seal.outcome
        if each.path.startswith("train/"):
            seed = Path(each.path).parts[1]
            raise HarnessError(
                f"{file}: {each.why}; restore it, or delete train/{seed}, curve/{seed} and tuned/{seed} of {run.path} "
                f"and run again"
            )
        say(f"{file}: {each.why}; it is made again.")
        if (file.name == "samples.jsonl" and file.exists()) or file.is_dir():
            file.replace(file.with_name(file.name + DAMAGED))
        else:
            file.unlink(missing_ok=True)
        outcome.unlink(missing_ok=True)
        if each.path.startswith("elicit/"):  # its stage is done when test is scored
            (run.elicited / "result.json").unlink(missing_ok=True)
        if each.path.startswith("curve/"):  # its stage is done when there is a curve
            (run.path / "curve" / Path(each.path).parts[1] / curve.NAME).unlink(missing_ok=True)


def traced(run: RunDir) -> Iterator[str]:
    """A line for each sealed file: whether it is as sealed, and what it was made from. Raises as `whole`."""
    _has_manifest(run)
    wrong = {each.path: each.why for each in broken(run)}
    for path, sealed in sorted(run.read_manifest().seals.items()):
        source = ", ".join(f"{name} ({sha256[:12]})" for name, sha256 in sorted(sealed.made_from.items()))
        there = (run.path / sealed.outcome).exists()
        state = wrong.get(path, "as written" if there else f"not checked, as {sealed.outcome} is not there")
        yield f"{path} ({sealed.sha256[:12]}): {state}; made from {source or 'the inputs'}"


def _has_manifest(run: RunDir) -> None:
    if not run.manifest.exists() and (run.base / "result.json").exists():
        raise HarnessError(
            f"{run.manifest}: missing, so that what the results were made from cannot be checked; restore it, or move "
            f"{run.path} away and run again"
        )


def _inside(run: RunDir, path: Path) -> str:
    return str(path.relative_to(run.path))
