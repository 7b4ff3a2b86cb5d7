"""An adapter and its base as one checkpoint: W + scaling · B A in float32, cast last, one tensor at a time.

The base's files are processed one by one, so that a merge needs the memory of its largest tensor, and every tensor
keeps the name and the file that it has in the base (transformers would write some under other names). The base's other
files, with its tokenizer and chat template, are copied.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, rename_source_key

from harness.export.record import Change
from harness.models.checkpoint import FILES, Checkpoint
from harness.models.lora import adapter_weights, module_name, scaling
from harness.util import files
from harness.util.errors import HarnessError

# safetensors' names of the dtypes that are cast, and the bytes per number of every dtype that may be in a file.
KINDS = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
WIDTHS = {"I64": 8, "F32": 4, "I32": 4, "BF16": 2, "F16": 2, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


@dataclass(frozen=True)
class Delta:
    """The update of one matrix by an adapter: scale · b a, in float32."""

    a: torch.Tensor  # (r, in)
    b: torch.Tensor  # (out, r)
    scale: float

    def added_to(self, weight: torch.Tensor) -> torch.Tensor:
        return weight.float() + (self.b.float() @ self.a.float()) * self.scale


class Weights:
    """The tensors of a checkpoint folder by name, read on demand."""

    def __init__(self, folder: Path) -> None:
        index = folder / "model.safetensors.index.json"
        names = set(files.read_json(index)["weight_map"].values()) if index.exists() else None
        self.files = [f for f in sorted(folder.glob("*.safetensors")) if names is None or f.name in names]
        self.file_of: dict[str, Path] = {}
        for file in self.files:
            with safe_open(file, "pt") as stream:
                self.file_of |= dict.fromkeys(stream.keys(), file)

    def read(self, name: str) -> torch.Tensor:
        with safe_open(self.file_of[name], "pt") as stream:
            return stream.get_tensor(name)


def deltas(base: Checkpoint, adapter: Path) -> dict[str, Delta]:
    """The updates by an adapter, by the name of each matrix in the base's files.

    Raises HarnessError for an adapter of another model, and for one with more than LoRA's A and B.
    """
    weights, scale, names = adapter_weights(adapter), scaling(adapter), _tensor_names(base)
    found = {}
    for module in sorted({module_name(key) for key in weights}):
        a, b = (weights.pop(f"{module}.lora_{part}.weight", None) for part in "AB")
        name = names.get(module.removeprefix("base_model.model.") + ".weight")
        if a is None or b is None or name is None:
            raise HarnessError(
                f"{adapter}: {module} cannot be merged: {base.id} has no such matrix, or the adapter is not plain LoRA"
            )
        found[name] = Delta(a, b, scale)
    if weights:
        raise HarnessError(f"{adapter}: {min(weights)} cannot be merged: only LoRA's A and B matrices can")
    return found


def _tensor_names(base: Checkpoint) -> dict[str, str]:
    """The name in the files of each parameter of the model in transformers.

    Gemma 3 with a vision tower, for example, has language_model.model.layers… in its files and
    model.language_model.layers… in memory. Parameters that are made from several tensors are left out.
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base.path))
    mapping = get_model_conversion_mapping(model)
    renamings = [each for each in mapping if isinstance(each, WeightRenaming)]
    converters = [each for each in mapping if isinstance(each, WeightConverter)]
    known, found = model.state_dict(), {}
    for name in Weights(base.path).file_of:
        parameter, converter = rename_source_key(name, renamings, converters, model.base_model_prefix, known)
        if converter is None:
            found[parameter] = name
    return found


def stored_dtype(checkpoint: Checkpoint, names: Collection[str]) -> torch.dtype:
    """The dtype of the first of these tensors, or of the first of all. HarnessError for a quantized checkpoint."""
    weights = Weights(checkpoint.path)
    dtype = weights.read(min(names, default=min(weights.file_of))).dtype
    if "quantization_config" in checkpoint.config or not dtype.is_floating_point:
        raise HarnessError(
            f"model.id: {checkpoint.id} is quantized: an adapter can only be merged into unquantized weights"
        )
    return dtype


def write(
    base: Checkpoint, added: Mapping[str, Delta], dtype: torch.dtype, folder: Path, trained: Checkpoint | None = None
) -> None:
    """Write the base with the updates added as a checkpoint in this dtype into a new folder.

    With `trained` the weights are that model's, under the names and in the files that they have in the base. Raises
    HarnessError for a number outside the dtype's range.
    """
    folder.mkdir(parents=True)
    weights = _Renamed(base, trained) if trained else Weights(base.path)
    size = sum(_write_file(file, weights, added, dtype, folder / file.name) for file in weights.files)
    for file in sorted({each for pattern in FILES if pattern != "*.safetensors" for each in base.path.glob(pattern)}):
        shutil.copy(file, folder)
    if base.chat_template is not None:
        files.write_text(folder / "chat_template.jinja", base.chat_template)
    _describe(folder, str(dtype).removeprefix("torch."), size)


def _write_file(file: Path, weights: Weights, added: Mapping[str, Delta], dtype: torch.dtype, target: Path) -> int:
    """Write the new version of one of the base's files, a tensor at a time; returns the bytes of its tensors.

    safetensors' own save_file holds a file twice in memory, which for Gemma 3 4B in float32 is 20 GB. The format: the
    header's length in 8 bytes (little-endian), the header as JSON padded with spaces, the tensors without gaps, widest
    dtypes first.
    """
    described, metadata = _described(file, dtype)
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name, (kind, shape) in described.items():
        begin, end = end, end + WIDTHS[kind] * math.prod(shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with target.open("wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for name in described:
            tensor = _cast(name, weights.read(name), added.get(name), dtype)
            out.write(tensor.reshape(-1).view(torch.uint8).numpy())
        out.flush()
        os.fsync(out.fileno())
    return end


def _described(file: Path, dtype: torch.dtype) -> tuple[dict[str, tuple[str, list[int]]], dict[str, str]]:
    """The kind and shape that each tensor of a base's file will have, in the order of writing, and its metadata."""
    found = {}
    with safe_open(file, "pt") as stream:
        for name in stream.keys():  # noqa: SIM118 (not a mapping: it has keys() but cannot be iterated)
            part = stream.get_slice(name)
            kind = KINDS[dtype] if part.get_dtype() in KINDS.values() else part.get_dtype()
            if kind not in WIDTHS:
                raise HarnessError(f"{file}: {name} is stored as {kind}: only unquantized weights can be exported")
            found[name] = (kind, part.get_shape())
        metadata = stream.metadata() or {"format": "pt"}
    return dict(sorted(found.items(), key=lambda item: (-WIDTHS[item[1][0]], item[0]))), metadata


class _Renamed(Weights):
    """The base's names and files with another model's weights, which transformers saved under its own names."""

    def __init__(self, base: Checkpoint, trained: Checkpoint) -> None:
        super().__init__(base.path)
        theirs = _tensor_names(trained)
        self._name = {name: theirs.get(parameter) for parameter, name in _tensor_names(base).items()}
        self._trained = Weights(trained.path)

    def read(self, name: str) -> torch.Tensor:
        if (stored := self._name.get(name)) is None:
            raise HarnessError(
                f"{name}: is in the base but not in the trained model, which cannot be exported under the base's names"
            )
        return self._trained.read(stored)


def _cast(name: str, weight: torch.Tensor, delta: Delta | None, dtype: torch.dtype) -> torch.Tensor:
    if weight.dtype not in KINDS:
        return weight
    if delta and (delta.b.shape[0], delta.a.shape[1]) != tuple(weight.shape):
        raise HarnessError(f"the adapter's {name} has another shape than the base's: it belongs to another model")
    cast = (delta.added_to(weight) if delta else weight).to(dtype)
    # Not isfinite(), which takes several times the tensor's memory. If there is a NaN, aminmax returns NaN.
    if cast.numel() and not all(math.isfinite(end) for end in torch.aminmax(cast)):
        raise HarnessError(f"{name}: holds numbers outside the range of {dtype}; give --dtype float32")
    return cast.contiguous()


def _describe(folder: Path, dtype: str, size: int) -> None:
    """Update the dtype in config.json and the size in bytes in the index."""
    config = files.read_json(folder / "config.json")
    for part in (config, *(value for value in config.values() if isinstance(value, dict))):
        for key in ("dtype", "torch_dtype"):
            if key in part or (part is config and key == "torch_dtype" and "dtype" not in part):
                part[key] = dtype
    # Not files.write_json, which sorts: a configuration keeps the order of its keys.
    files.write_text(folder / "config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")
    for file in folder.glob("*.safetensors.index.json"):
        index = files.read_json(file)
        index.setdefault("metadata", {})["total_size"] = size
        files.write_text(file, json.dumps(index, indent=2, ensure_ascii=False) + "\n")


def change(base: Checkpoint, exported: Path, targets: Collection[str]) -> Change:
    """How much an exported checkpoint, read from the disk, differs from the base; targets: the trained matrices."""
    before, after = Weights(base.path), Weights(exported)
    numbers = changed = target_numbers = target_changed = untouched = 0
    for name in after.file_of:
        new = after.read(name)
        differs = int(torch.count_nonzero(before.read(name).to(new.dtype) != new))
        numbers, changed = numbers + new.numel(), changed + differs
        if name in targets:
            target_numbers, target_changed = target_numbers + new.numel(), target_changed + differs
            untouched += not differs
    return Change(
        tensors=len(after.file_of),
        targets=len(targets),
        untouched=untouched,
        changed=changed / numbers,
        changed_in_targets=target_changed / max(target_numbers, 1),
    )
