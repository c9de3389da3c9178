"""benchmarks/parallel.py trains by one and by two processes, and divides. test_train.py has that
both are one run.
"""

import re

import pytest

from benchmarks import parallel


@pytest.mark.slow
def test_both_ways_train_and_are_compared(capsys):
    words = "--img_size 64 --batch_size 4 --images 16 --epochs 2 --turns 1 --encoder_weights none"
    parallel.main(parallel.parse_args(words.split()))
    row = re.split(r"\s*\|\s*", capsys.readouterr().out.splitlines()[-1].strip("| "))
    size, one, two, ratio = map(float, row)
    assert size == 64 and one > 0 and two > 0 and abs(ratio - two / one) < 0.1 * ratio
