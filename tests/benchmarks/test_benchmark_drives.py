"""benchmarks/drives.py trains on no frame of a tested drive, or on as many frames of all."""

import numpy as np

from benchmarks import drives

TRAINVAL = [f"{drive}_{number:03}" for drive in ("a", "b", "c") for number in range(8)]
TEST = [f"c_{number:03}" for number in range(90, 95)]


def test_both_ways_have_equally_many_frames_and_one_has_none_of_the_tested_drive():
    apart = drives.frames_of(TRAINVAL, TEST, "by drives", 0)
    first, second = (drives.frames_of(TRAINVAL, TEST, "as it is", seed) for seed in (0, 1))
    assert {drives.drive(name) for name in apart} == {"a", "b"}
    assert len(apart) == len(first) == len(second) == 16
    assert first != second and {drives.drive(name) for name in first} == {"a", "b", "c"}


def test_the_difference_is_paired_over_seeds():
    scores = {
        ("as it is", "points"): [50.0, 54.0],
        ("by drives", "points"): [47.0, 49.0],
        ("as it is", "full"): [60.0, 60.0],
        ("by drives", "full"): [55.0, 56.0],
    }
    *_, last = drives.rows(scores)
    half = 12.7062 * np.std([-3, -5], ddof=1) / np.sqrt(2)  # the t quantile with one degree
    assert last == [
        "difference",
        f"-4.0 ({-4 - half:+.1f} to {-4 + half:+.1f})",
        f"-4.5 ({-4.5 - half / 2:+.1f} to {-4.5 + half / 2:+.1f})",
    ]
