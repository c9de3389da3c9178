"""benchmarks/mix_table.py sets each mix against the better of its parts, seed by seed."""

import numpy as np
import pytest

from benchmarks import mix_table


def test_a_mix_is_set_against_its_better_part_over_paired_seeds(monkeypatch):
    monkeypatch.setattr(mix_table, "PARTS", {"boxes": "boxes"})
    monkeypatch.setattr(mix_table, "SHARES", (0.25,))
    scores = {"full": [60, 64], "boxes": [70, 72], "25 % full + 75 % boxes": [73, 73.5]}
    done = [
        {"mode": mode, "budget": 0.5, "seed": seed, "miou": value}
        for mode, values in scores.items()
        for seed, value in enumerate(values)
    ]
    content = {"budgets": [0.5, 2.0], "rows": done}
    masks, boxes, mix = mix_table.rows("nuclei", content)
    assert masks == ["nuclei", "masks", "62.0 ± 2.8", "", "-", ""]
    assert boxes[2] == "71.0 ± 1.4"
    half = 12.7062 * np.std([3, 1.5], ddof=1) / np.sqrt(2)  # the t quantile with one degree
    assert mix[1:3] == ["25 % masks, 75 % boxes", "73.2 ± 0.4"]
    assert mix[3] == f"+2.2 ({2.25 - half:+.1f} to {2.25 + half:+.1f})"
    assert mix[4:] == ["-", "-"]


@pytest.mark.parametrize("share", mix_table.SHARES)
def test_each_mix_is_one_that_a_study_takes(share):
    mix = mix_table.parse_mix(mix_table.mix_word(share, "pixels"))
    assert mix == pytest.approx({"full": share, "pixels": 1 - share})
