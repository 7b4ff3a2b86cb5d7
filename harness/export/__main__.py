"""Export a trained model as a merged checkpoint or a GGUF file, and check the export against the training.

    python -m harness.export results/quickstart-1a2b3c4d --to merged
    python -m harness.export results/quickstart-1a2b3c4d --to merged --dtype float32
    python -m harness.export results/quickstart-1a2b3c4d --to gguf --quant q8_0 --llama-cpp ~/llama.cpp

It is written to RUN/export (or --out) with a model card and export.json, the numbers of the check. An export that lost
the training to rounding is refused: its log-prob changes must correlate at least 0.9 with those of the training and be
0.8 to 1.25 times as large, and every trained matrix must differ from the base's.
"""

from __future__ import annotations

import sys
from pathlib import Path

from harness.config import arguments
from harness.export.stored import BYTES, QUANTS
from harness.util.cli import Parser, exit_code
from harness.util.errors import HarnessError

REMEDY = "end other programs on the GPU, or use the CPU: put CUDA_VISIBLE_DEVICES= before the command"


def _arguments() -> Parser:
    parser = Parser("export", __doc__)
    arguments.add_run(parser)
    parser.add_argument("--to", choices=("merged", "gguf"), required=True)
    parser.add_argument("--dtype", choices=tuple(BYTES), help="for --to merged; default: that of the base checkpoint")
    parser.add_argument("--quant", choices=QUANTS, help="for --to gguf; default: q8_0")
    parser.add_argument("--llama-cpp", type=Path, metavar="DIR", help="a llama.cpp checkout; default: $LLAMA_CPP, PATH")
    parser.add_argument("--train-seed", type=int, metavar="SEED", help="one of train.seeds; default: the first")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: RUN/export/merged or RUN/export/gguf-QUANT")
    return parser


def main(argv: list[str] | None = None) -> int:
    args = _arguments().parse(argv)
    if args.to == "merged" and (args.quant or args.llama_cpp):
        raise HarnessError("--quant and --llama-cpp belong to --to gguf")
    if args.to == "gguf" and args.dtype:
        raise HarnessError("--dtype belongs to --to merged; use --quant for a GGUF")
    args.quant = args.quant or "q8_0"
    from harness.runs import directory
    from harness.runs.machine import within_memory
    from harness.util import locks
    from harness.util.console import loading

    run = directory.existing(args.run)
    with loading("PyTorch and transformers"):
        from harness.export import gguf as gguf_export
        from harness.export.write import export
        from harness.models import trained

    with within_memory(REMEDY):
        if args.to == "gguf":
            gguf_export.converter(args.llama_cpp)  # fails before the merge if it is missing
        with locks.lock(run.path):
            export(trained.find(run, args.train_seed), args)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
