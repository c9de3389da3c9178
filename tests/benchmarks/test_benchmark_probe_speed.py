"""benchmarks/probe_speed.py measures every step that has a bound."""

import re

from benchmarks import probe_speed


def test_every_step_with_a_bound_is_measured(capsys, pets_dir):
    words = f"--data_dir {pets_dir} --images 3 --img_size 32 --encoder_weights none"
    probe_speed.main(probe_speed.parse_args(words.split()))
    rows = re.findall(
        r"^\| ([^|]+) \| ([\d.]+) \| ([\d.]+) \| [\d.]+ \|$", capsys.readouterr().out, re.M
    )
    assert {name: float(bound) for name, _, bound in rows} == probe_speed.BOUNDS
    assert all(float(seconds) > 0 for _, seconds, _ in rows)


def test_the_first_case_is_not_counted():
    seen = []
    assert len(probe_speed.measured(seen.append, "abc")) == 2 and seen == ["a", "b", "c"]
