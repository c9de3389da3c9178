"""benchmarks/make_examples.py chooses by a hash, by turns, and writes the same bytes each time."""

from collections import Counter

import numpy as np
import pytest
from conftest import ROOT, run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks import make_examples
from benchmarks.make_examples import by_turns, chosen_pets, fitted, small_instances
from weakseg.common import UserError

SHARED = ROOT.parent / "shared" / "data"
KINDS = st.dictionaries(st.text("abcdef", min_size=1, max_size=6), st.integers(0, 3), min_size=1)


@given(KINDS, st.data())
def test_kinds_take_turns_and_the_order_of_names_does_not_matter(kinds, data):
    count = data.draw(st.integers(0, len(kinds)))
    chosen = by_turns(kinds, count)
    shuffled = dict(data.draw(st.permutations(list(kinds.items()))))
    assert chosen == sorted(set(chosen)) == by_turns(shuffled, count)
    assert len(chosen) == count and set(chosen) <= set(kinds)
    taken, there = Counter(kinds[name] for name in chosen), Counter(kinds.values())
    unspent = [taken[kind] for kind in there if taken[kind] < there[kind]]
    assert max(taken.values(), default=0) <= min(unspent, default=len(kinds)) + 1


@given(KINDS)
def test_fewer_are_a_part_of_more(kinds):
    for count in range(len(kinds)):
        assert set(by_turns(kinds, count)) <= set(by_turns(kinds, count + 1))


def test_more_images_than_there_are_is_refused():
    with pytest.raises(UserError, match="2 images are wanted, 1 are there"):
        by_turns({"a": 0}, 2)


def test_half_of_the_pets_are_cats():
    lines = [f"Breed{k % 3}_{k} 1 {1 + k % 2} 1" for k in range(20)]
    chosen = chosen_pets(lines, 7)
    assert set(chosen) <= set(lines) and len(set(chosen)) == 7
    assert Counter(line.split()[2] for line in chosen) == {"1": 4, "2": 3}


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 512))
def test_sizes_fit_and_keep_their_shape(width, height, longest):
    w, h = fitted((width, height), longest)
    assert max(w, h) == min(max(width, height), longest) and min(w, h) >= 1
    assert abs(w * height - h * width) <= max(width, height)  # half a pixel of either


def test_objects_are_counted_from_one_without_those_that_vanish(tmp_path):
    numbers = np.zeros((40, 40), np.uint16)
    numbers[:10], numbers[10, 10], numbers[20:, :] = 3, 5, 700
    Image.fromarray(numbers).save(tmp_path / "numbers.png")
    for longest, left in ((40, [0, 1, 2, 3]), (8, [0, 1, 2])):
        (tmp_path / "small.png").write_bytes(small_instances(tmp_path / "numbers.png", longest))
        small = np.asarray(Image.open(tmp_path / "small.png"))
        assert small.shape == (longest, longest) and small.dtype == np.uint16
        assert np.unique(small).tolist() == left


@pytest.fixture
def shared(pets_dir, tmp_path):
    """A folder with drawn pets, and with nuclei of one's own."""
    root = tmp_path / "shared"
    root.mkdir()
    (root / "oxford-iiit-pet").symlink_to(pets_dir)
    folder = root / "nuclei"
    for name in ("images", "masks", "instances"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k in range(8):
        pixels = rng.integers(0, 255, (30, 50 - k, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"{k}.jpg")
        numbers = np.zeros(pixels.shape[:2], np.uint16)
        numbers[5:15, 5:15], numbers[15:25, 20:30] = 1, 2
        Image.fromarray(numbers).save(folder / "instances" / f"{k}.png")
        Image.fromarray((numbers > 0).view(np.uint8)).save(folder / "masks" / f"{k}.png")
    (folder / "classes.txt").write_text("background\nnucleus\n")
    (folder / "trainval.txt").write_text("0\n1\n2\n3\n4\n")
    (folder / "test.txt").write_text("5\n6\n7\n")
    return root


def contents(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_two_runs_give_the_same_bytes_and_strangers_are_refused(shared, tmp_path):
    words = ["--data_dir", shared, "--pets", 6, 4, "--nuclei", 4, 2, "--longest", 40]
    for folder in ("one", "two", "one"):
        run(make_examples, *words, "--output_dir", tmp_path / folder)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert len(contents(tmp_path / "one")) == 2 * 10 + 4 + 3 * 6 + 4 + 1

    (tmp_path / "one" / "pets" / "images" / "mine.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"mine\.jpg: is none of the examples"):
        run(make_examples, *words, "--output_dir", tmp_path / "one")
    with pytest.raises(UserError, match=r"--most 0\.001: the files take"):
        run(make_examples, *words, "--output_dir", tmp_path / "three", "--most", 0.001)
    assert not (tmp_path / "three").exists()


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/data is not there")
def test_the_examples_are_what_the_script_makes(tmp_path):
    run(make_examples, "--data_dir", SHARED, "--output_dir", tmp_path)
    assert contents(tmp_path) == contents(ROOT / "examples")
