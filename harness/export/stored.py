"""How an export's weights can be stored."""

from __future__ import annotations

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}  # a number of a merged checkpoint takes
QUANTS = ("q8_0", "bf16", "f16")  # kinds of a GGUF
