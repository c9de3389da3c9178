"""Labels of one photograph under two names, and of photographs that changed since."""

import shutil

import numpy as np
import pytest
from conftest import run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import labels
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.checks import Picture
from weakseg.labels.doubts.copied_photographs import denied
from weakseg.labels.label_file import labels_for
from weakseg.labels.label_record import read_record

PICTURE = Picture((60, 40), ["background", "cat", "dog"], ["cat", "dog"])
NAMES = PICTURE.class_names, PICTURE.tag_names, True
PATH = [[5, 5], [20, 20], [40, 9]]
OF_CLASS = {  # kind of label: one of a class
    "points": lambda number: [[9.5, 9.5, number]],
    "boxes": lambda number: [[5, 5, 30, 30, number]],
    "scribbles": lambda number: [{"class": number, "width": 3, "path": PATH[:: 3 - 2 * number]}],
    "outlines": lambda number: [{"class": number, "polygon": [[5, 5], [30, 5], [30, 30]]}],
    "tags": lambda number: {
        key: [PICTURE.class_names[number]] * (key == "present") for key in ("present", "absent")
    },
}


def read(complete=(), **told):
    record = {"size": [60, 40], "complete": [*complete], **told}
    return read_record(record, PICTURE, [*OF_CLASS])


@given(st.sampled_from([*OF_CLASS]), st.sampled_from([1, 2]), st.sampled_from([1, 2]))
def test_labels_of_copies_agree_where_one_picture_could_have_both(kind, one, other):
    mine, theirs = (read(**{kind: OF_CLASS[kind](n)}) for n in (one, other))
    may_have_both = one == other or kind == "tags"
    assert denied(mine, theirs, NAMES) == (None if may_have_both else kind)
    assert denied(mine, read(), NAMES) is None  # nobody looked
    absent = read(tags={"present": [], "absent": [PICTURE.class_names[other]]})
    assert (denied(mine, absent, NAMES) is None) == (one != other)


@given(st.sampled_from(["points", "boxes", "outlines"]), st.booleans())
def test_a_copy_in_which_nothing_is_there_denies_objects(kind, is_complete):
    empty = read([kind] if is_complete else [], **{kind: []})
    for pair in ((read(**{kind: OF_CLASS[kind](1)}), empty), (empty, read([kind], **{kind: []}))):
        assert denied(*pair, NAMES) == (kind if is_complete and pair[0] is not empty else None)


@pytest.fixture
def bring(tmp_path):
    """Return a function that imports rows -> notes of check and of training, a click a picture."""
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    (data / "classes.txt").write_text("background\ncat\ndog\n")
    for number in range(6):
        pixels = np.random.default_rng(number).integers(0, 255, (30, 40, 3), np.uint8)
        Image.fromarray(pixels).save(data / f"images/p{number}.bmp")

    def read(capsys, *rows, source="mine"):
        (tmp_path / "l.csv").write_text("\n".join(["image,kind,class,x,y", *rows]))
        words = ["--images", data / "images", "--output", tmp_path / "store", "--source", source]
        if rows:
            run(labels, "import", tmp_path / "l.csv", *words)
        capsys.readouterr()
        run(labels, "check", "--labels", tmp_path / "store", "--images", data / "images")
        dataset = open_dataset(DataOptions(str(data), cache_dir=str(tmp_path / "cache")))
        try:
            notes = labels_for(
                tmp_path / "store", dataset, dataset.ids("trainval"), ["points"], data
            ).notes
        except labels.UserError as error:
            notes = [str(error)]
        return capsys.readouterr().out.splitlines(), notes

    return read


CLICKS = [f"p{number}.bmp,click,{('cat', 'dog')[number % 2]},{number + 5},9" for number in range(6)]


def test_check_and_training_tell_a_photograph_under_two_names(bring, tmp_path, capsys):
    line = (
        f"{tmp_path / 'store'}: 1 photographs are there under two names with labels that deny one"
    )
    images = tmp_path / "data/images"
    assert not any("two names" in one for lines in bring(capsys, *CLICKS) for one in lines)
    shutil.copy(images / "p0.bmp", images / "p1.bmp")
    assert not any("two names" in one for lines in bring(capsys, *CLICKS) for one in lines)
    told = bring(capsys, *CLICKS, "p0.bmp,click,dog,20,9", "p1.bmp,click,cat,20,9")
    for lines in told:
        assert [one for one in lines if line in one and "p0 and p1 (points); keep one" in one]


def test_check_tells_photographs_that_changed_at_equal_size(bring, tmp_path, capsys):
    images = tmp_path / "data/images"
    assert not any("changed" in one for lines in bring(capsys, *CLICKS) for one in lines)
    shutil.copy(images / "p4.bmp", images / "p5.bmp")
    line = f"{tmp_path / 'store'}: 1 photograph changed since the labels of mine were given"
    for lines in bring(capsys):
        assert [one for one in lines if one.startswith(line)]


def test_check_tells_sources_that_labelled_a_photograph_at_two_sizes(bring, tmp_path, capsys):
    path = tmp_path / "data/images/p0.bmp"
    bring(capsys, *CLICKS)
    Image.open(path).resize((80, 60)).save(path)
    lines, (refused,) = bring(capsys, "p0.bmp,click,cat,60,40", source="later")
    line = "p0: its labels are of photographs of two sizes, mine at 40x30 and later at 80x60"
    assert line in refused and any("suspicious: 1 pictures" in one and line in one for one in lines)
