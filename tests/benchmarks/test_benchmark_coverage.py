"""benchmarks/coverage.py: matrices are what they say, sessions are replayed, bad ones refused."""

import sys
from unittest.mock import patch

import numpy as np
import pytest

from benchmarks import coverage
from weakseg.common import IGNORE, UserError


def run(capsys, *words):
    """Run the command -> the rows of its tables, by label."""
    with patch.object(sys, "argv", ["coverage.py", *map(str, words)]):
        coverage.main(coverage.parse_args())
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]
    rows = {label: cells for label, *cells in rows if label[-1].isdigit()}
    return {
        label: [[float(value) for value in cell.split(",")] for cell in cells]
        for label, cells in rows.items()
    }


@pytest.mark.parametrize("name", coverage.TWO)
def test_a_matrix_of_two_classes_has_the_area_and_the_iou_it_is_made_of(name):
    area, iou, missed = coverage.TWO[name]
    joint = coverage.matrices()[name].joint
    hits, errors = joint[1, 1], joint[0, 1] + joint[1, 0]
    assert joint.sum() == pytest.approx(1) and joint[:, 1].sum() == pytest.approx(area)
    assert hits / (hits + errors) == pytest.approx(iou)
    assert joint[0, 1] / errors == pytest.approx(missed)


def test_a_sample_is_of_the_matrix():
    for name, matrix in coverage.matrices().items():
        assert matrix.cells.sum() == pytest.approx(1), name
        counts = matrix.sample(10**7, 1, np.random.default_rng(0))[0]
        told = counts[:, :-1] / counts[:, :-1].sum()
        np.testing.assert_allclose(told, matrix.joint, atol=1e-3)
        np.testing.assert_allclose(counts.sum(1) / counts.sum(), matrix.shares, atol=1e-3)


def test_every_table_has_its_rows(capsys):
    names = ("pets", "street 1", "visits", "gain, slow")
    rows = run(capsys, "--replays", 3, "--draws", 50, "--answers", 40, "--only", *names)
    columns = {"pets, 40": 6, "street 1, 40": 5, "visits of four, 40": 5, "gain, slow, 40": 6}
    assert {label: len(cells) for label, cells in rows.items()} == columns


def test_a_stored_session_is_replayed(capsys, tmp_path):
    rng = np.random.default_rng(0)
    predicted = (rng.random(3000) < 0.3).astype(np.uint8)
    answers = np.where(rng.random(3000) < 0.1, 1 - predicted, predicted).astype(np.uint8)
    answers[rng.random(3000) < 0.1] = IGNORE
    path = tmp_path / "one.npz"
    np.savez(path, predicted=predicted, answers=answers, areas=rng.integers(1, 5, 3000))
    row = run(capsys, "--replays", 60, "--draws", 200, "--answers", 100, "--sessions", path)
    assert all(share >= 85 for share in row["one, 100"][0])


@pytest.mark.parametrize("stored", [{"predicted": np.zeros(3, int)}, None])
def test_a_file_that_is_no_session_is_refused(tmp_path, capsys, stored):
    path = tmp_path / "none.npz"
    if stored:
        np.savez(path, **stored)
    with pytest.raises(UserError, match="--sessions"):
        run(capsys, "--sessions", path)
