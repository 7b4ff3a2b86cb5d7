"""GGUF by llama.cpp's converter, from a checkpoint that was merged in float32, and loading it again for the check.

Unsloth's save_pretrained_gguf is not used: it merges in 16 bits first, where a small adapter is lost before anything is
quantized, it needs a GPU, and it fetches and builds the latest llama.cpp. The converter alone needs no build.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from harness.models.checkpoint import Checkpoint
from harness.util.console import hushed
from harness.util.errors import HarnessError

CONVERTER = "convert_hf_to_gguf.py"
Q8_0_BLOCK = 32  # numbers that share a scale
NEEDED = ("gguf", "sentencepiece")  # Python packages; the names are the same for import and pip


def converter(given: Path | None) -> Path:
    """llama.cpp's converter: in the given folder, in $LLAMA_CPP, or on the PATH.

    Raises HarnessError if it, or a package that it needs, is missing.
    """
    folder = given or (Path(os.environ["LLAMA_CPP"]) if os.environ.get("LLAMA_CPP") else None)
    found = folder / CONVERTER if folder else Path(shutil.which(CONVERTER) or CONVERTER)
    if folder and not found.is_file():
        raise HarnessError(f"{folder}: {CONVERTER} not found; give the folder of a llama.cpp checkout")
    if not found.is_file():
        raise HarnessError(
            f"--to gguf needs llama.cpp's {CONVERTER}, which was not found: git clone --depth 1 "
            f"https://github.com/ggml-org/llama.cpp and give --llama-cpp llama.cpp (no build is needed)"
        )
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise HarnessError(f"--to gguf needs Python packages that are missing: pip install {' '.join(missing)}")
    return found.resolve()


def convert(script: Path, merged: Path, file: Path, quant: str, name: str) -> None:
    """Write one GGUF file from a merged checkpoint. Raises HarnessError if the converter refuses it."""
    done = subprocess.run(
        [sys.executable, script, merged, "--outtype", quant, "--outfile", file, "--model-name", name],
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode == 0 and file.is_file():
        return
    said = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
    hint = ""
    if "pre-tokenizer was not recognized" in said[-1]:
        hint = ": llama.cpp has a list of known tokenizers, and this one is not in it; use --to merged instead"
    raise HarnessError(f"{CONVERTER} refused the merged checkpoint ({said[-1].strip()[:200]}){hint}")


def load(file: Path, base: Checkpoint) -> torch.nn.Module | None:
    """The language model in a GGUF file, its weights as float32, in the base's configuration.

    None if transformers cannot read GGUF of this architecture. Raises HarnessError for a file that it cannot load.
    """
    config = AutoConfig.from_pretrained(base.path).get_text_config()
    try:
        with hushed():
            return AutoModelForCausalLM.from_pretrained(
                file.parent, gguf_file=file.name, config=config, dtype=torch.float32
            )
    except NotImplementedError:  # the gguf package has no names for its tensors
        return None
    except (ValueError, KeyError, RuntimeError) as error:
        if "is not supported yet" in str(error):
            return None
        raise HarnessError(f"{file.name}: cannot be loaded again, so the export was deleted: {error}") from None


def rounding(quant: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """The rounding of a weight in a GGUF of this kind: matrices are rounded, vectors are kept in float32.

    q8_0 stores a row in blocks of 32. Rows of another length (a vision tower has some) are stored as f16.
    """

    def rounded(weight: torch.Tensor) -> torch.Tensor:
        if weight.dim() < 2:
            return weight
        if quant == "bf16":
            return weight.to(torch.bfloat16).float()
        if quant == "f16" or weight.shape[-1] % Q8_0_BLOCK:
            return weight.to(torch.float16).float()
        from gguf import GGMLQuantizationType, quants

        kind = GGMLQuantizationType.Q8_0
        stored = quants.quantize(weight.detach().float().cpu().numpy(), kind)
        return torch.from_numpy(quants.dequantize(stored, kind)).to(weight.device)

    return rounded
