"""Kinds of label that name other classes than one another, and complete lists that lack objects."""

import pytest
from conftest import run
from PIL import Image

import labels
from weakseg.labels.doubts.contrary import Contrary

NAMES = ("background", "cat", "dog")
MARKS = {
    "points": lambda x, label: [[x, 20, label]],
    "scribbles": lambda x, label: [{"class": label, "width": 3, "path": [[x, 20], [x + 9, 25]]}],
    "pixels": lambda x, label: [{"x": x, "y": 20, "class": label}],
}
FRAMES = {
    "boxes": lambda x, label: [[x, 5, x + 30, 35, label]],
    "outlines": lambda x, label: [
        {"class": label, "polygon": [[x, 5], [x + 30, 5], [x + 30, 35], [x, 35]]}
    ],
}


def told(pictures):
    found = Contrary(NAMES, True)
    for key, one in pictures.items():
        found.add(key, {"size": [100, 40], **one})
    return [*found.lines()]


@pytest.mark.parametrize("kind", FRAMES)
@pytest.mark.parametrize("mark", MARKS)
def test_marks_in_frames_of_other_classes_are_told_where_most_pictures_have_such(mark, kind):
    def picture(number, label, x=10):
        marks = MARKS[mark](x, label) + MARKS[mark](60, 255) + MARKS[mark](12, 0)
        return {mark: marks, kind: FRAMES[kind](5, 1 + number % 2)}

    def pictures(right, wrong, x=10):
        labelled = [*[True] * right, *[False] * wrong]
        return {
            f"p{n}": picture(n, 1 + (n + (not is_right)) % 2, x)
            for n, is_right in enumerate(labelled)
        }

    (line,) = told(pictures(3, 4))
    assert line.startswith("in 4 of 7 pictures") and "the first is p3 (" in line
    assert not told(pictures(4, 3)) and not told(pictures(7, 0)) and not told(pictures(0, 2))
    assert not told(pictures(0, 7, x=60))  # beside the frames, whose list may lack it
    only_dogs = {f"p{n}": picture(0, 2) for n in range(7)}
    assert not told(only_dogs)  # in boxes of cats, where nobody boxed dogs


@pytest.mark.parametrize("kind", [*FRAMES, *MARKS])
def test_tags_that_name_other_classes_than_the_rest_are_told(kind):
    def pictures(shift, tags=("cat", "dog")):
        rest = {**FRAMES, **MARKS}[kind]
        present = {f"p{n}": [tags[(n + shift) % 2]] for n in range(4)}
        return {
            key: {"tags": {"present": tag, "absent": []}, kind: rest(5, 1 + n % 2)}
            for n, (key, tag) in enumerate(present.items())
        }

    (line,) = told(pictures(1))
    assert line.startswith("in 4 of 4 pictures") and "p0 (tag dog, " in line
    assert not told(pictures(0)) and not told(pictures(1, ("sunny", "indoors")))
    both = {**pictures(1)["p0"], "tags": {"present": ["cat", "dog"], "absent": []}}
    assert not told({**pictures(0), "p0": both, "p1": both, "p2": both})


def test_an_import_and_a_check_tell_what_two_annotators_deny(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    for name in "abcd":
        Image.new("RGB", (100, 40), ord(name)).save(tmp_path / f"images/{name}.png")
    classes = dict(zip("abcd", ("cat", "dog") * 2, strict=True))

    def says(name, row, *words):
        rows = [row.format(key, one) for key, one in classes.items()]
        (tmp_path / f"{name}.csv").write_text("\n".join(["image,kind,class,x,y", *rows]))
        run(labels, "import", f"{name}.csv", "--images", "images", "--output", "s", *words)
        return capsys.readouterr().out

    def checked():
        run(labels, "check", "--labels", "s")
        return capsys.readouterr().out

    swap = ("--map", "cat=dog,dog=cat")
    assert "; mend" not in says("clicks", "{}.png,click,{},20,20")
    out = says("boxes", "{}.png,box,{},5,5,35,35", "--complete", "boxes")
    assert "the list of 4 complete" in out and "; mend" not in out
    out = says("boxes", "{}.png,box,{},5,5,35,35", "--complete", "boxes", *swap)
    lines = (
        "4 complete lists of boxes lack an object, the first that of a (click 1 of cat)",
        "in 4 of 4 pictures with both, clicks lie in boxes of other classes alone, the first is a",
    )
    for told_in in (out, checked()):
        assert "the list of 0 complete" in told_in and all(line in told_in for line in lines)
    out = says("boxes", "{}.png,box,{},15,15,25,25", "--complete", "boxes")
    assert "the list of 4 complete" in out
    out = says("boxes", "{}.png,box,{},1,1,15,15", "--complete", "boxes")
    assert lines[0] in out and lines[1] not in out
    out = says("tags", "{}.png,tag,{}", *swap)
    assert "tags name other classes than the rest shows, the first is a (tag dog, box 1" in out
    out = says("areas", "{}.png,polygon,{},5,5,35,5,35,35,5,39", *swap)
    assert (
        "8 labels lie where a polygon or mask shows another class, the first is click 1 of a" in out
    )
    assert out.split("8 labels")[1].splitlines()[0] in checked()
    out = says("twice", "{}.png,box,{},1,1,15,15", *swap)
    lack = "4 complete lists of polygons and masks lack an object, the first that of a (a {} of"
    assert lack.format("box") in out
    assert "training will refuse 4 pictures, the first a: box 1 of cat and box 2 of dog lie" in out
    for name in ("boxes", "twice"):
        says(name, "{}.png,tag,{}", *swap)
    for row, is_told in (("{}.png,click,{},20,20", False), ("{}.png,click,{},2,2", True)):
        assert (lack.format("click") in says("clicks", row, *swap)) == is_told
