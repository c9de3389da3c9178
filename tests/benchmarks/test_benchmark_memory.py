"""benchmarks/memory.py multiplies a data set truthfully and sees memory that a process takes."""

import pytest

from benchmarks.memory import multiply, peak
from weakseg.data.datasets import Pets


def test_the_larger_data_set_holds_the_same_pictures(pets_dir, tmp_path):
    multiply(pets_dir, tmp_path / "large", 3)
    small = Pets(pets_dir, cache_dir=tmp_path / "cache")
    large = Pets(tmp_path / "large", cache_dir=tmp_path / "cache")
    for split in ("trainval", "test"):
        assert len(large.ids(split)) == 3 * len(small.ids(split)) == 3 * len(set(small.ids(split)))
    sizes = [
        sorted(d.image_path(name).stat().st_size for name in d.ids("test")) for d in (small, large)
    ]
    assert sizes[1] == sorted(3 * sizes[0])


def test_a_peak_is_seen_and_a_failure_is_told(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("x = bytearray(200 * 2**20)\n")
    empty = tmp_path / "empty.py"
    empty.write_text("")
    assert peak([script], 1) - peak([empty], 1) == pytest.approx(200, abs=10)
    script.write_text("raise SystemExit('no such thing')\n")
    with pytest.raises(RuntimeError, match="no such thing"):
        peak([script], 1)
