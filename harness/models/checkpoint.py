"""Where a model's files are and what is in them: the only module that resolves, hashes and reads a checkpoint.

Does not import torch: configuration is read as JSON, and weights are hashed as bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from harness.config.loading import locate
from harness.config.schema import EMBEDDED, ModelSection
from harness.util import hub
from harness.util.errors import HarnessError
from harness.util.files import file_hash, text_hash

# Safetensors only: a pickle from another repository can run arbitrary code when it is opened.
FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "tokenizer.model"]


@dataclass(frozen=True)
class Checkpoint:
    """A model folder on this machine."""

    id: str  # as the experiment file names it
    path: Path
    chat_template: str | None = None  # Jinja; None: the checkpoint's own
    revision: str | None = None  # the commit of a hub repository

    @cached_property
    def config(self) -> dict:
        return self._json("config.json")

    @cached_property
    def text_config(self) -> dict:
        """The language model's own part of the configuration (multimodal checkpoints nest it)."""
        return self.config.get("text_config", self.config)

    @property
    def context(self) -> int:
        """Tokens that the model can attend to, prompt and completion together."""
        if "max_position_embeddings" in self.text_config:
            return self.text_config["max_position_embeddings"]
        # Some published multimodal configurations rely on the class's default, which for Gemma 3 is 131,072.
        return 131_072

    @cached_property
    def generation_stop_ids(self) -> frozenset[int]:
        """Token ids on which the checkpoint's own generation settings end a completion."""
        found = self._json("generation_config.json", {}).get("eos_token_id")
        if found is None:
            found = self.text_config.get("eos_token_id")
        return frozenset([found] if isinstance(found, int) else found or [])

    @property
    def architecture(self) -> str | None:
        """The class of the model, such as Qwen2ForCausalLM."""
        return next(iter(self.config.get("architectures") or []), None)

    @cached_property
    def parameters(self) -> int:
        """How many numbers the weight files hold, from their headers; 0 if they are not on this machine."""
        return sum(_elements(file) for file in self.path.glob("*.safetensors"))

    @cached_property
    def weights_hash(self) -> str:
        """SHA-256 over the names and contents of the weight files and the configuration."""
        files = sorted([*self.path.glob("*.safetensors"), self.path / "config.json"])
        return _hash_files(files)

    @cached_property
    def tokenizer_hash(self) -> str:
        """SHA-256 over the tokenizer's files, the chat template among them."""
        return (
            self._own_tokenizer if self.chat_template is None else text_hash(self._own_tokenizer + self.chat_template)
        )

    @cached_property
    def _own_tokenizer(self) -> str:
        return _hash_files(sorted([*self.path.glob("*token*"), *self.path.glob("chat_template*")]))

    @property
    def inputs(self) -> dict[str, str]:
        """Content hashes, for RunDir.pin: the weights, the tokenizer, and a chat template that is not its own."""
        return {"base weights": self.weights_hash, "tokenizer": self._own_tokenizer} | _hashed(self.chat_template)

    def _json(self, name: str, default: dict | None = None) -> dict:
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            if default is not None:
                return default
            raise HarnessError(f"model.id: {self.path} is not a checkpoint folder: {name} is missing") from None
        except ValueError as error:
            raise HarnessError(f"model.id: {self.path / name} is not JSON: {error}") from None


def resolve(model: ModelSection, *, weights: bool = True) -> Checkpoint:
    """Find the checkpoint of an experiment: embedded, local folder, or hub (downloaded once, then cached).

    With weights=False a hub model's weight files are not fetched, only its tokenizer and configuration.
    Raises HarnessError if it cannot be found or fetched.
    """
    template = _template(model)
    if model.id == EMBEDDED:
        from harness.tasks.tiny import CHECKPOINT

        return Checkpoint(model.id, CHECKPOINT, template)
    folder = Path(model.id)
    if not (local := folder.is_dir()):
        if meant := hub.meant_as_path(model.id):
            raise HarnessError(f"model.id: {model.id}: folder not found; {meant}")
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", model.id):
            raise HarnessError(
                f"model.id: {model.id!r} was not found as a folder in {Path.cwd()} and is not a hub id (owner/name) or "
                f"'{EMBEDDED}'"
            )
        folder = _download(model, weights)
    if (local or weights) and (missing := _missing_weights(folder)):
        raise HarnessError(f"model.id: {folder} {missing}; fetch it again, or set another model.id")
    # The hub's cache names a snapshot's folder for its commit.
    return Checkpoint(model.id, folder, template, None if local else folder.name)


def on_this_machine(model: ModelSection) -> Checkpoint | None:
    """As resolve, but without asking the hub: None for a model of the hub that is not whole in its cache."""
    if model.id == EMBEDDED or Path(model.id).is_dir() or hub.meant_as_path(model.id):
        return resolve(model)
    from huggingface_hub import snapshot_download

    with suppress(Exception):  # its errors have no common base class
        folder = Path(snapshot_download(model.id, revision=model.revision, local_files_only=True))
        return None if _missing_weights(folder) else Checkpoint(model.id, folder, _template(model), folder.name)
    return None


def local_inputs(model: ModelSection) -> dict[str, str]:
    """Checkpoint.inputs without what is the hub's. Raises HarnessError as `resolve`."""
    if model.id == EMBEDDED or Path(model.id).is_dir():
        return resolve(model).inputs
    return _hashed(_template(model))


def _hashed(template: str | None) -> dict[str, str]:
    """The input that a chat template other than the checkpoint's own is."""
    return {} if template is None else {"chat template": text_hash(template)}


def _template(model: ModelSection) -> str | None:
    """The text of model.chat_template; None: the checkpoint's own. Raises HarnessError if it cannot be read."""
    if model.chat_template is None:
        return None
    file = locate(model.chat_template)
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HarnessError(
            f"model.chat_template: {file} cannot be read ({error}); paths are relative to the working directory"
        ) from None


def _missing_weights(folder: Path) -> str | None:
    """Which weights are missing from a checkpoint folder, as after a broken download; None if it is complete."""
    if not list(folder.glob("*.safetensors")):
        return "has no *.safetensors file (other weight formats are not opened)"
    if (folder / "model.safetensors").exists():  # it is loaded even if there is an index
        return None
    for file in folder.glob("*.safetensors.index.json"):
        try:
            named = set(json.loads(file.read_text(encoding="utf-8"))["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError):
            return f"has a {file.name} that is not an index of weights"
        if missing := sorted(name for name in named if not (folder / name).is_file()):
            return f"is incomplete: {', '.join(missing)} missing, named in {file.name}"
    return None


def _download(model: ModelSection, weights: bool) -> Path:
    """The folder of a hub model: fetched, or from the hub's cache if the hub cannot be reached.

    Raises HarnessError if it is in neither.
    """
    offline = hub.unreachable()
    from huggingface_hub import snapshot_download

    patterns = FILES if weights else [p for p in FILES if "safetensors" not in p]
    wanted = {"repo_id": model.id, "revision": model.revision, "allow_patterns": patterns}
    try:
        return Path(snapshot_download(**wanted))
    except Exception as error:  # the hub's errors have no common base class: offline, gated, missing, moved
        # With a commit as revision, the hub library does not fall back to its cache when it is offline.
        with suppress(Exception):
            kept = Path(snapshot_download(**wanted, local_files_only=True))
            if not (weights and _missing_weights(kept)):
                return kept
        raise HarnessError(_download_error(model, error, offline)) from None


def _download_error(model: ModelSection, error: Exception, offline: str | None) -> str:
    """The one line for a checkpoint that the hub did not give; offline: why it was not asked."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, RevisionNotFoundError):
        return (
            f"model.revision: {model.id} has no revision {model.revision} (is it from another repository?); set "
            f"model.revision=null, or a revision of {model.id}"
        )
    if offline:
        return (
            f"model.id: {model.id} is not on this machine (no such folder, and not in the hub's cache), and the hub is "
            f"not asked for it ({offline}); connect to it, or give a local folder with model.id=PATH"
        )
    reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
    remedy = "try again"
    if isinstance(error, GatedRepoError | RepositoryNotFoundError):  # the hub also says "not found" of what it hides
        remedy = f"check the name, accept its licence on {model.id}'s page, log in (hf auth login)"
    return (
        f"model.id: {model.id} is not on this machine and could not be fetched ({type(error).__name__}: {reason}); "
        f"{remedy}, or give a local folder with model.id=PATH"
    )


def _elements(file: Path) -> int:
    """The number of elements in a safetensors file, from its JSON header, which follows 8 bytes with its length."""
    with file.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


def _hash_files(files: list[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}:{file_hash(file)}\n".encode())
    return digest.hexdigest()
