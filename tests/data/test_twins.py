"""Equal files are found, and test images that are trained on are said."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from weakseg.data import twins
from weakseg.data.folder import Folder
from weakseg.data.twins import SAMPLE, copies, equal_files

# Contents of few sizes and bytes, some longer than the sample, that differ at either end.
CONTENTS = st.builds(
    lambda head, length, tail: head + bytes(length) + tail,
    st.sampled_from([b"a", b"b"]),
    st.sampled_from([0, 3, 3 * SAMPLE]),
    st.sampled_from([b"c", b"d"]),
)


@settings(max_examples=25)
@given(some=st.lists(CONTENTS, max_size=5), others=st.lists(CONTENTS, max_size=5))
def test_equal_files_are_those_of_equal_bytes(some, others, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    paths = []
    for side, contents in enumerate((some, others)):
        paths.append([folder / f"{side}{number}" for number in range(len(contents))])
        for path, content in zip(paths[side], contents, strict=True):
            path.write_bytes(content)
    found = equal_files(paths[0], [folder / "absent", *paths[1]])
    assert all(one.read_bytes() == other.read_bytes() for one, other in found)
    assert [one for one, _ in found] == [p for p in paths[0] if p.read_bytes() in others]
    twice = copies([folder / "absent", *paths[0]])
    first = {content: paths[0][some.index(content)] for content in some}
    expected = [(p, first[c]) for p, c in zip(paths[0], some, strict=True) if p != first[c]]
    assert twice == expected


def test_files_of_other_sizes_are_not_opened(tmp_path, monkeypatch):
    for number in range(9):
        (tmp_path / str(number)).write_bytes(bytes(number))
    monkeypatch.setattr(twins, "sample", None)
    paths = sorted(tmp_path.iterdir())
    assert equal_files(paths[:4], paths[4:]) == []


def test_test_images_that_are_trained_on_are_said_in_one_line(tmp_path):
    for folder in ("images/new", "masks/new"):
        (tmp_path / folder).mkdir(parents=True)
    for number in range(6):
        pixels = np.full((9, 9, 3), 30 * number, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/p{number}.png")
        mask = np.eye(9, k=number, dtype=np.uint8)
        Image.fromarray(mask).save(tmp_path / f"masks/p{number}.png")
    (tmp_path / "classes.txt").write_text("background\nblob\n")
    (tmp_path / "trainval.txt").write_text("p0\np1\np2\np3\n")
    (tmp_path / "test.txt").write_text("p4\nnew/p5\n")
    for kind in ("images", "masks"):
        (tmp_path / f"{kind}/p5.png").rename(tmp_path / f"{kind}/new/p5.png")
    assert Folder(tmp_path, cache_dir=tmp_path / ".cache").notes() == []
    copied = (tmp_path / "images/p2.png").read_bytes()
    (tmp_path / "images/new/p5.png").write_bytes(copied)
    (line,) = Folder(tmp_path, cache_dir=tmp_path / ".cache").notes()
    assert line == (
        f"{tmp_path}: 1 of 2 test images are also trained on, the first images/new/p5.png as "
        "images/p2.png, so scores are too good; remove one of the two"
    )
