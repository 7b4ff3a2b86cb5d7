"""Loading questions: where rows come from, ids, splits, and chat messages. Benchmarks decide what a row means.

Sources, in `data.path`: "tiny" (the embedded generator), a local folder or file (JSONL, Parquet), or a hub data set.
`datasets` is imported only when files or hub data are loaded.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.tasks.records import Problem, ProblemCounts
from harness.util import hub
from harness.util.errors import HarnessError, in_short

SPLITS = ("train", "dev", "test")
# One file without splits is split by question hash, so that a row keeps its split when rows are added.
TEST_SHARE = 5  # every fifth
DEV_SHARE = 5  # what is suggested where data.dev is too many


@dataclass(frozen=True)
class Source:
    """Where the questions of an experiment come from: its `data` source."""

    path: str  # a hub id, a local folder or file, or "tiny"
    subset: str = "main"  # of a hub data set; ignored for local data
    revision: str | None = None  # a commit of the hub data set; ignored for local data
    dev: int = 0  # problems set aside from train; 0: none
    benchmarks: str | None = None  # a folder with the files of published benchmarks; None: the hub


Message = dict[str, str]  # of a chat: its role and its content

# Checks the rows of one split and turns them into problems; the string says where they come from, for errors.
ReadRows = Callable[[Iterable[dict[str, Any]], str], list[Problem]]


@dataclass(frozen=True)
class Data:
    """The three splits of one data set; a question occurs once."""

    train: tuple[Problem, ...]
    dev: tuple[Problem, ...]  # taken from train: for monitoring and for choosing a checkpoint, never for the result
    test: tuple[Problem, ...]
    repeated: int  # rows left out because their question had occurred before
    source: str
    left_out: dict[str, int] = field(default_factory=dict)  # rows whose gold cannot be judged, by the reason

    def split(self, name: str) -> tuple[Problem, ...]:
        return {"train": self.train, "dev": self.dev, "test": self.test}[name]

    def asked(self, split: str, limit: int | None) -> tuple[Problem, ...]:
        """The first `limit` problems of a split; None: all. Raises HarnessError if there are none."""
        if not (problems := self.split(split)[:limit]):
            remedy = "set data.dev" if split == "dev" else "give a folder with a train and a test file"
            raise HarnessError(f"eval.split: the {split} split of {self.source} is empty; {remedy}")
        return problems

    def content_hash(self) -> str:
        """SHA-256, in hex, over every split, in order: equal hashes mean equal data."""
        return hashlib.sha256("".join(content_hash(self.split(name)) for name in SPLITS).encode()).hexdigest()

    def counts(self) -> ProblemCounts:
        return ProblemCounts(len(self.train), len(self.dev), len(self.test), self.repeated)


def content_hash(problems: Iterable[Problem]) -> str:
    """SHA-256, in hex, over the ids and golds of the problems, in order."""
    return hashlib.sha256("".join(f"{p.id} {p.gold}\n" for p in problems).encode()).hexdigest()


def problem_id(question: str) -> str:
    """The first 16 hex digits of the SHA-256 of the question's text."""
    return hashlib.sha256(question.encode("utf-8")).hexdigest()[:16]


def messages(question: str, system: str) -> list[Message]:
    """The chat messages for the model: the same for both evaluations and for training."""
    return [{"role": "system", "content": system}, {"role": "user", "content": question}]


def load(source: Source, problems_of: ReadRows) -> Data:
    """Load the data of an experiment. Raises HarnessError (one line) if anything is wrong with it."""
    if source.path == "tiny":
        return _tiny(source.dev, problems_of)
    path = Path(source.path)
    if path.is_file():
        rows = problems_of(_read_files(path, [path]), str(path))
        test = [p for p in rows if _draw(p, "test") % TEST_SHARE == 0]
        train = [p for p in rows if _draw(p, "test") % TEST_SHARE != 0]
        if not train:
            raise HarnessError(
                f"data.path: {path}: every one of its {len(rows)} rows was drawn into the test split; give more, or a "
                "folder with a train and a test file"
            )
        return _cut(train, test, source.dev, str(path))
    if path.is_dir():
        splits = {name: _read_files(path, _split_files(path, source.subset, name)) for name in ("train", "test")}
    elif meant := hub.meant_as_path(source.path):
        raise HarnessError(f"data.path: {source.path}: file or folder not found; {meant}")
    elif path.suffix in (".jsonl", ".json", ".parquet", ".csv"):
        raise HarnessError(f"data.path: {source.path}: file not found in {Path.cwd()}")
    else:
        splits = _hub(source)
    train, test = (problems_of(splits[name], f"{source.path} {name}") for name in ("train", "test"))
    return _cut(train, test, source.dev, source.path)


def _tiny(dev: int, problems_of: ReadRows) -> Data:
    from harness.tasks.tiny import problems as tiny_problems

    if dev > (most := tiny_problems.SIZES["train"]):  # it would search for hours for so many different problems
        raise HarnessError(f"data.dev: {dev} is more than the embedded generator can make; set at most {most}")
    splits = {
        name: problems_of(tiny_problems.rows(name, dev if name == "dev" else tiny_problems.SIZES[name]), f"tiny {name}")
        for name in SPLITS
        if name != "dev" or dev
    }
    return Data(tuple(splits["train"]), tuple(splits.get("dev", ())), tuple(splits["test"]), 0, "tiny")


def _cut(train: list[Problem], test: list[Problem], dev: int, source: str) -> Data:
    """Drop repeated questions and set the dev problems aside: those whose ids hash lowest, in train's order."""
    total = len(train) + len(test)
    test = _once(test, {}, source)
    # A training question that is also a test question would be a leak; it stays in test only.
    train = _once(train, {p.id: p for p in test}, source)
    repeated = total - len(train) - len(test)
    if not train:
        raise HarnessError(
            f"data.path: {source}: every training question is a test question too; give others to train on"
        )
    if dev >= len(train):
        raise HarnessError(
            f"data.dev: {dev} of the {len(train)} training problems set aside leave none to train on; set "
            f"data.dev={len(train) // DEV_SHARE}, or another number below {len(train)}; 0 sets none aside"
        )
    chosen = {p.id for p in sorted(train, key=lambda p: _draw(p, "dev"))[:dev]}
    return Data(
        tuple(p for p in train if p.id not in chosen),
        tuple(p for p in train if p.id in chosen),
        tuple(test),
        repeated,
        source,
    )


def _draw(problem: Problem, purpose: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{purpose} {problem.id}".encode()).digest()[:8])


def _once(problems: list[Problem], seen: dict[str, Problem], source: str) -> list[Problem]:
    kept = []
    for problem in problems:
        earlier = seen.setdefault(problem.id, problem)
        if earlier is problem:
            kept.append(problem)
        elif earlier.gold != problem.gold:
            raise HarnessError(
                f"data.path: {source}: one question has two gold answers, {earlier.gold!r} and {problem.gold!r}; "
                f"remove one of the rows: {problem.question[:60]!r}"
            )
    return kept


def _split_files(folder: Path, config: str, split: str) -> list[Path]:
    """The files of one split in a folder: train.jsonl, train.parquet, or the hub's layouts."""
    patterns = [f"{split}.{kind}" for kind in ("jsonl", "json", "parquet")] + [f"{split}-*.parquet"]
    for place in (folder, folder / config, folder / "data"):
        for pattern in patterns:
            if found := sorted(place.glob(pattern)):
                return found
    raise HarnessError(f"data.path: {folder} has no {split}.jsonl or {split}.parquet")


def _read_files(source: Path, files: list[Path]) -> Iterable[dict[str, Any]]:
    kind = files[0].suffix
    if kind not in (".jsonl", ".json", ".parquet"):
        raise HarnessError(f"data.path: {source}: found {kind or 'no'} file type, allowed: .jsonl, .json, .parquet")
    if not any(file.stat().st_size for file in files):
        raise HarnessError(f"data.path: {files[0]}: no rows; a data set needs questions to train and to test on")
    read = _read_parquet if kind == ".parquet" else _read_json
    return [row for file in files for row in read(file)]


def _read_parquet(file: Path) -> list[dict[str, Any]]:
    """Not by `datasets`, whose import alone takes seconds."""
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(file).read().to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise HarnessError(f"data.path: {file}: cannot be read ({in_short(error)})") from None


def _read_json(file: Path) -> list[dict[str, Any]]:
    """The rows of a file with a JSON object in each line, or of one with a list of them.

    Not by `datasets`: lines of `null` end it with a segmentation fault, and some broken files with two lines of errors.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        if text.lstrip().startswith("["):
            numbered = list(enumerate(json.loads(text), 1))
        else:
            lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
            numbered = [(number, _row(file, number, line)) for number, line in lines]
    except (OSError, ValueError, RecursionError) as error:
        raise HarnessError(f"data.path: {file}: cannot be read ({in_short(error)})") from None
    for number, row in numbered:
        if not isinstance(row, dict):
            raise HarnessError(
                f"data.path: {file} row {number}: found {json.dumps(row)[:60]}, expected an object with a question and "
                f"an answer"
            )
    return [row for _, row in numbered]


def _row(file: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise HarnessError(f"data.path: {file} line {number}: not JSON ({in_short(error)})") from None


def _hub(source: Source) -> dict[str, Iterable[dict[str, Any]]]:
    offline = hub.unreachable()
    asked = {"revision": source.revision, "offline": offline}
    return {
        split: load_dataset(source.path, source.path, source.subset, split=split, **asked)
        for split in ("train", "test")
    }


def load_dataset(
    shown: str,
    *args: Any,
    split: str = "train",
    offline: str | None = None,
    setting: str = "data.path",
    **kwargs: Any,
) -> list[dict[str, Any]]:
    """The rows of one split; offline: why the hub is not asked for them. setting: names the local copy.

    Raises HarnessError (one line) if they cannot be loaded.
    """
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)  # it also prints the errors that it raises
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # several lines for every try
    try:
        return list(datasets.load_dataset(*args, split=split, **kwargs))
    except Exception as error:  # its errors have no common base class: offline, missing, gated, damaged files
        if offline:
            raise HarnessError(
                f"{setting}: {shown} is not on this machine (no such folder, and not in the hub's cache), and the hub "
                f"is not asked for it ({offline}); connect to it, or give a local copy with {setting}=FOLDER"
            ) from None
        cause = error.__cause__ or error
        reason = (str(cause).strip() or type(cause).__name__).splitlines()[0][:160]
        raise HarnessError(
            f"{setting}: {shown} could not be loaded ({type(error).__name__}: {reason}); check the path, or give "
            f"a local copy with {setting}=FOLDER"
        ) from None
