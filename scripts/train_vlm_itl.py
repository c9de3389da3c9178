"""VLM in the loop: a judge looks at predicted masks; accepted ones cost no human time.

    python scripts/train_vlm_itl.py --config configs/active_learning_config.yaml
    python scripts/train_vlm_itl.py --config configs/active_learning_config.yaml \\
        --set vlm_itl.vlm_handler=learned
    python scripts/train_vlm_itl.py --config configs/active_learning_voc.yaml

A run that was stopped goes on when the same command is given again.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from vlm_itl import pipelines
from weakseg.common import run_cli


def parse_args() -> argparse.Namespace:
    return pipelines.parse_args(__doc__)


def main(args: argparse.Namespace) -> dict[str, Any]:
    return pipelines.vlm_itl(args.config, args.set)


if __name__ == "__main__":
    run_cli(main, parse_args)
