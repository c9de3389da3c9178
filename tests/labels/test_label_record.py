"""Labels that people drew: what is missing is unlabelled, lists are complete where they say so."""

import copy
import pickle
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_label_file import WEAK, opened

import train
from weakseg.common import UserError
from weakseg.labels.agreement import one_path
from weakseg.labels.checks import Picture
from weakseg.labels.formats.geometry import ellipse
from weakseg.labels.label_file import labels_for, load_labels
from weakseg.labels.label_record import LabelTally, by_image, complete_lists, read_record
from weakseg.labels.signals import LISTS, SIGNALS, count_actions, is_complete
from weakseg.labels.training_labels import (
    check_tally,
    labels_digest,
    read_training_labels,
    refuse_one_class,
    tally,
)

BY_PEOPLE = Picture((60, 40), ["background", "cat", "dog"], ["cat", "dog"])
BY_PROGRAM = Picture((60, 40), ["background", "cat", "dog"], ["cat", "dog"], is_simulated=True)
places = st.tuples(st.floats(2, 59, width=32), st.floats(2, 39, width=32)).map(list)


def apart(boxes):
    """Return those boxes that lie further than a pixel from all before."""
    kept = []
    for box in boxes:
        if all(max(abs(a - b) for a, b in zip(box, one, strict=True)) > 1 for one in kept):
            kept.append(box)
    return kept


def on_paths_of_their_own(strokes):
    """Return those strokes that run along none of another class before."""
    kept = []
    for stroke in strokes:
        kept += [stroke] if one_path([*kept, stroke]) is None else []
    return kept


RECORDS = st.fixed_dictionaries(
    {
        "points": st.lists(
            st.tuples(places, st.integers(0, 2)).map(lambda p: [*p[0], p[1]]),
            unique_by=lambda click: (int(click[0]), int(click[1])),
        ),
        "scribbles": st.lists(
            st.fixed_dictionaries(
                {
                    "class": st.integers(0, 2),
                    "width": st.integers(0, 40),
                    "path": st.lists(places, min_size=1, max_size=4),
                }
            ),
        ).map(on_paths_of_their_own),
        "boxes": st.lists(
            st.tuples(places, st.integers(1, 2)).map(
                lambda p: [p[0][0] - 2, p[0][1] - 2, *p[0], p[1]]
            ),
        ).map(apart),
        "tags": st.sampled_from(
            [{"present": ["cat"], "absent": []}, {"present": [], "absent": ["dog", "cat"]}]
        ),
        "full": st.fixed_dictionaries({"objects": st.integers(2, 9), "classes": st.integers(0, 2)}),
    }
)


@given(record=RECORDS, picture=st.sampled_from([BY_PEOPLE, BY_PROGRAM]))
def test_what_makes_sense_is_read_as_it_is(record, picture):
    """So that runs and their digests stay what they are."""
    record = {"size": [60, 40], **record}
    signals = [signal for signal in SIGNALS if signal in record]
    complete = LISTS
    if not picture.is_simulated:  # what people say must agree, see test_agreement
        record["tags"] = {"present": ["cat"], "absent": []}
        complete = [name for name in LISTS if name != "boxes"]
    read = read_record(copy.deepcopy(record), picture, signals, complete)
    if not picture.is_simulated:
        assert read.pop("complete") == complete
    assert read == record and repr(read) == repr(record)


@given(record=RECORDS, order=st.permutations(range(4)))
def test_any_two_opposite_corners_make_a_box(record, order):
    turned = [
        [*(box[i] for i in corners), box[4]]
        for box in record["boxes"]
        for corners in [[(0, 1, 2, 3), (2, 1, 0, 3), (0, 3, 2, 1), (2, 3, 0, 1)][order[0]]]
    ]
    read = read_record({"size": [60, 40], "boxes": turned}, BY_PEOPLE, ["boxes"])
    assert read["boxes"] == record["boxes"]


def test_places_on_the_edge_are_moved_into_the_picture():
    record = {
        "size": (60, 40),
        "points": [[60, 40.5, 1], [-0.5, 3, 1]],
        "boxes": [[-0.5, 0, 60.5, 40.5, 1]],
        "scribbles": [{"class": 1, "width": 1, "path": [[60, 3], [59, 40]]}],
    }
    read = read_record(record, BY_PEOPLE, list(record)[1:])
    assert read["points"] == [[59.99, 39.99, 1], [0, 3, 1]]
    assert read["boxes"] == [[0, 0, 60, 40, 1]]
    assert read["scribbles"][0]["path"] == [[59.99, 3], [59, 39.99]]


def test_whole_numbers_may_be_written_with_a_point():
    record = {"size": [60, 40], "points": [[3.5, 3.5, 1.0]]}
    read = read_record(record, BY_PEOPLE, ["points"])
    assert read["points"] == [[3.5, 3.5, 1]] and type(read["points"][0][2]) is int


@given(
    place=places,
    other=st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)),
    classes=st.tuples(st.integers(0, 2), st.integers(0, 2)),
)
def test_one_pixel_is_of_one_class(place, other, classes):
    pixel = [int(value) for value in place]
    again = [value + more for value, more in zip(pixel, other, strict=True)]
    record = {"size": [60, 40], "points": [[*pixel, classes[0]], [*again, classes[1]]]}
    assert read_record(record, BY_PROGRAM, ["points"])["points"] == record["points"]
    record["points"].append([*pixel, 255])  # "can't tell" contradicts nobody
    if classes[0] == classes[1]:
        assert read_record(record, BY_PEOPLE, ["points"])["points"] == record["points"]
        return
    with pytest.raises(ValueError, match=r"click 1 and click 2 lie in one place, .*; keep one"):
        read_record(record, BY_PEOPLE, ["points"])


def test_one_box_is_around_one_class():
    record = {"size": [60, 40], "boxes": [[1, 1, 9, 9, 1], [9, 9, 1, 1, 2], [1, 1, 9, 9, 1]]}
    with pytest.raises(ValueError, match=r"box 1 and box 2 lie in one place.* of cat and dog; ke"):
        read_record(record, BY_PEOPLE, ["boxes"])
    record["boxes"].pop(1)
    assert len(read_record(record, BY_PEOPLE, ["boxes"])["boxes"]) == 2


def test_places_need_the_size_that_they_were_drawn_at():
    """Else those of a smaller copy would pass."""
    for record in ({"points": [[3, 3, 1]]}, {"boxes": [[1, 1, 9, 9, 1]]}):
        with pytest.raises(ValueError, match="has no 'size'"):
            read_record(record, BY_PEOPLE, list(record))
    tags = {"tags": {"present": ["cat"]}}
    assert read_record(tags, BY_PEOPLE, ["tags"])["tags"] == {"present": ["cat"], "absent": []}


# ---- complete, or some


@pytest.mark.parametrize(
    ("said", "usual", "lists"),
    [
        ({}, (), ()),
        ({}, LISTS, LISTS),
        ({"complete": True}, (), LISTS),
        ({"complete": False}, LISTS, ()),
        ({"complete": ["boxes"]}, (), ("boxes",)),
        ({"complete": ["boxes"]}, LISTS, ("boxes",)),
        ({"complete": []}, LISTS, ()),
    ],
)
def test_a_record_or_else_its_file_says_which_lists_are_complete(said, usual, lists):
    record = {key: [] for key in LISTS} | said
    read = read_record(record, BY_PEOPLE, LISTS, usual)
    assert [name for name in LISTS if is_complete(read, name)] == [
        name for name in LISTS if name in lists
    ]
    assert ("complete" in read) == ({*lists} != {*LISTS})


@pytest.mark.parametrize("said", ["boxes", ["box"], [1], 7, None, ["tags"]])
def test_lists_that_there_are_not_are_refused_with_the_nearest(said):
    with pytest.raises(ValueError, match="'complete'") as caught:
        complete_lists(said)
    assert said != ["box"] or "did you mean boxes?" in str(caught.value)


def test_a_kind_that_is_missing_is_unlabelled_even_in_a_complete_file():
    record = {"size": [60, 40], "points": [[3, 3, 1]]}
    read = read_record(record, BY_PEOPLE, ["points", "boxes", "tags"], LISTS)
    assert read["boxes"] == [] and read["tags"] == {"present": [], "absent": []}
    assert is_complete(read, "points") and not is_complete(read, "boxes")
    with pytest.raises(ValueError, match="has no boxes"):
        read_record({"size": [60, 40], "points": []}, BY_PROGRAM, ["points", "boxes"])
    with pytest.raises(ValueError, match="has no full, the price of its masks"):
        read_record({"size": [60, 40]}, BY_PROGRAM, ["full"])
    assert "full" not in read_record({}, BY_PEOPLE, ["full"])


def test_a_picture_without_objects_costs_a_look_and_one_without_labels_nothing():
    looked = {"size": [60, 40], "boxes": []}
    for signals in (("boxes",), ("points",)):
        label = looked | {"points": []}
        assert count_actions(label, signals, 2)[signals[0]]["image"] == 1
        none = count_actions({**label, "complete": []}, signals, 2)[signals[0]]
        assert none["image"] == none["absent"] == 0
    some = {"boxes": [[1, 1, 9, 9, 1]], "complete": []}
    assert count_actions(some, ("boxes",), 2)["boxes"] == {"image": 1, "box": 1, "absent": 0}
    assert count_actions({"full": {"objects": 0, "classes": 0}}, ("full",), 2)["full"]["image"] == 1
    nobody = {"tags": {"present": [], "absent": []}, "pixels": []}
    assert not any(
        actions["image"] for actions in count_actions(nobody, ("tags", "pixels"), 2).values()
    )


def test_the_digest_sees_what_is_complete_and_masks_that_are_used():
    whole = {"a": {"boxes": [[1, 1, 9, 9, 1]], "points": []}}
    some = {"a": whole["a"] | {"complete": ["points"]}}
    digests = [labels_digest(one, ["a"], ["boxes"]) for one in (whole, some)]
    assert digests[0] != digests[1]
    assert labels_digest(some, ["a"], ["points"]) == labels_digest(whole, ["a"], ["points"])
    assert labels_digest(whole, ["a"], ["boxes"], {"b": "1"}) == digests[0]
    assert labels_digest(whole, ["a"], ["boxes"], {"a": "1"}) != digests[0]


# ---- a file of people


@pytest.fixture
def by_people(tmp_path, pets_labels):
    """Return a function that writes the labels of the tiny data set as people's: they have no
    options, and `change` may spoil them.
    """

    def write(change=lambda content: None):
        content = copy.deepcopy(load_labels(pets_labels)) | {"options": {}}
        change(content)
        path = tmp_path / "people.pkl"
        path.write_bytes(pickle.dumps(content | {"count": len(content["images"])}))
        return path

    return write


@pytest.fixture
def dataset(pets_dir, tmp_path):
    return opened(pets_dir, tmp_path / "cache")


def test_images_and_kinds_that_nobody_labelled_are_counted_in_one_line(by_people, dataset):
    names = dataset.ids("train")

    def drop(content):
        del content["images"][names[0]]
        del content["images"][names[1]]["points"]
        content["images"][names[2]]["points"] = []

    path = by_people(drop)
    labels = read_training_labels(path, dataset, names, ("points",), None, "data")
    assert labels.notes == (f"{path}: 3 of {len(names)} training images have no label",)
    assert [labels[name]["points"] for name in names[:3]] == [[], [], []]
    assert labels.cost["images"] == len(names) - 3


@pytest.mark.parametrize("is_simulated", [True, False])
@pytest.mark.parametrize("kind", ["outlines", "points"])
def test_outlines_are_doubted_where_people_drew_them_and_a_run_learns_from_them(
    is_simulated, kind, by_people, pets_labels, dataset
):
    def twice(content):
        for one in content["images"].values():
            for outline in one["outlines"]:  # a second way around that is no copy of the first
                ring = [[x, y] for x, y in ellipse([30, 25], [20, 15])]
                outline["polygon"] = [*ring, *([x + 0.5, y] for x, y in ring)]
        content["options"] = load_labels(pets_labels)["options"] if is_simulated else {}

    names = dataset.ids("train")
    labels = read_training_labels(by_people(twice), dataset, names, (kind,), None, "data")
    is_told = any("go around their object more than once" in line for line in labels.notes)
    assert is_told == (kind == "outlines" and not is_simulated)


def test_images_may_be_named_by_their_files_and_strangers_are_counted(by_people, dataset):
    names = dataset.ids("train")

    def rename(content):
        images = content["images"]
        images[f"{names[0]}.JPG"] = images.pop(names[0])
        images["nobody"] = images["no-one.png"] = images[names[1]]

    path = by_people(rename)
    labels = read_training_labels(path, dataset, names, ("points",), None, "data")
    assert labels.notes == (
        f"{path}: 2 labelled images are not in the data set, the first is nobody",
    )
    path = by_people(lambda c: c["images"].update({f"{names[0]}.png": c["images"][names[0]]}))
    with pytest.raises(UserError, match=rf"{names[0]} is labelled twice, also as '{names[0]}\.png"):
        labels_for(path, dataset, names, ["points"], "data")


def test_the_price_of_a_mask_that_is_not_there_is_said(by_people, pets_dir, tmp_path):
    shutil.copytree(pets_dir, tmp_path / "pets")
    dataset = opened(tmp_path / "pets", tmp_path / "cache")
    names = dataset.ids("train")
    dataset.mask_path(names[0]).unlink()
    with pytest.raises(
        UserError, match=rf"{names[0]}: has 'full', the price of a mask, but no mas"
    ):
        read_training_labels(by_people(), dataset, names, None, None, "data")
    labels = read_training_labels(by_people(), dataset, names, ("points",), None, "data")
    assert labels.images[names[0]]["points"]


def test_a_kind_that_is_empty_wherever_somebody_looked_hinders_nobody(by_people, dataset):
    names = dataset.ids("train")

    def change(content):
        content["complete"] = True
        content["images"] = {
            name: {key: one[key] for key in ("size", "boxes")} | {"points": []}
            for name, one in content["images"].items()
        }

    read_training_labels(by_people(change), dataset, names, None, None, "data")
    with pytest.raises(UserError, match=r"none of the \d+ training images has points; label some"):
        read_training_labels(by_people(change), dataset, names, ("points",), None, "data")


def test_widths_and_heights_are_not_taken_for_corners(by_people, dataset):
    names = dataset.ids("train")

    def sizes(content):
        for label in content["images"].values():
            label["boxes"] = [[30, 25, 10, 20, 1]]

    def corners(content):
        sizes(content)
        content["images"][names[0]]["boxes"].append([45, 40, 40, 39, 1])

    path = by_people(sizes)
    with pytest.raises(
        UserError, match=r"people\.pkl: its boxes look like \[x, y, width, height\]"
    ):
        labels_for(path, dataset, names, ["boxes"], "data")
    assert labels_for(path, dataset, names, ["points"], "data")
    labels = labels_for(by_people(corners), dataset, names, ["boxes"], "data")
    assert labels[names[1]]["boxes"] == [[10, 20, 30, 25, 1]]


def test_names_may_have_the_folders_of_another_machine(by_people, dataset):
    names = dataset.ids("train")

    def rename(content):
        images = content["images"]
        images[f"images/{names[0]}.jpg"] = images.pop(names[0])
        images[f"my data/photos/{names[1]}.JPG"] = images.pop(names[1])

    labels = read_training_labels(by_people(rename), dataset, names, ("points",), None, "data")
    assert not labels.notes and all(labels[name]["points"] for name in names)
    path = by_people(lambda c: c["images"].update({f"old/{names[0]}": c["images"][names[0]]}))
    with pytest.raises(UserError, match=rf"{names[0]} is labelled twice, also as 'old/{names[0]}'"):
        labels_for(path, dataset, names, ["points"], "data")


@given(
    parts=st.lists(st.sampled_from(["a", "b", "p.0"]), min_size=1, max_size=3),
    known=st.sets(st.sampled_from(["a", "b", "p.0", "a/b", "b/a", "a/p.0", "b/a/p.0"])),
)
def test_as_much_of_the_end_of_a_name_as_fits_is_the_image(parts, known):
    name = "/".join(parts)
    records, strays = by_image({f"{name}.jpg": 1}, known)
    ends = ["/".join(parts[first:]) for first in range(len(parts))]
    fits = [end for end in ends if end in known]
    assert [*records] == fits[:1] and strays == ([] if fits else [f"{name}.jpg"])


def test_tuples_and_numbers_of_numpy_are_labels_too(by_people, dataset):
    names = dataset.ids("train")

    def tuples(content):
        content |= {"classes": tuple(content["classes"]), "complete": ("boxes",)}
        for label in content["images"].values():
            label["size"] = tuple(label["size"])
            label["points"] = [tuple(click) for click in label["points"]]
            label["scribbles"] = tuple(label["scribbles"])

    def numpy(content):
        for label in content["images"].values():
            label["size"] = np.array(label["size"])
            label["points"] = np.array(label["points"])
            label["scribbles"] = [s | {"path": np.array(s["path"])} for s in label["scribbles"]]
            label["boxes"] = [
                [np.float32(v) for v in b[:4]] + [np.int64(1)] for b in label["boxes"]
            ]

    usual = labels_for(by_people(), dataset, names, WEAK, "data")
    for change in (tuples, numpy):
        found = labels_for(by_people(change), dataset, names, WEAK, "data")
        for signal in ("points", "scribbles", "boxes"):
            assert all(found[name][signal] == usual[name][signal] for name in names), signal


def test_a_file_says_for_all_its_images_that_lists_are_complete(by_people, dataset):
    names = dataset.ids("train")
    for said, complete in ((None, False), (True, True), (["boxes"], True), (["points"], False)):
        path = by_people(lambda c, said=said: c.update({} if said is None else {"complete": said}))
        found = labels_for(path, dataset, names, WEAK, "data")
        assert is_complete(found[names[0]], "boxes") == complete
    path = by_people(lambda content: content.update(complete=["box"]))
    with pytest.raises(UserError, match=r"'complete' names 'box'; did you mean boxes\?"):
        labels_for(path, dataset, names, WEAK, "data")


def emptied(content, signal):
    for label in content["images"].values():
        label[signal] = copy.deepcopy(SIGNALS[signal].nothing)


@pytest.mark.parametrize("signal", WEAK)
def test_a_mode_that_nothing_is_labelled_in_is_an_error(signal, by_people, dataset):
    path, names = by_people(lambda content: emptied(content, signal)), dataset.ids("train")
    for signals in ((signal,), ("full", signal)):
        with pytest.raises(UserError) as caught:
            read_training_labels(path, dataset, names, signals, None, "data")
        assert str(caught.value) == (
            f"{path}: none of the {len(names)} training images has {signal}; label some, or take "
            "another --supervision_mode"
        )


def test_labels_of_the_background_alone_are_an_error(by_people, dataset):
    def change(content):
        for label in content["images"].values():
            label["points"] = [[3.5, 3.5, 0]]

    path, names = by_people(change), dataset.ids("train")
    with pytest.raises(UserError, match=r"the labels of the \d+ training images show no object"):
        read_training_labels(path, dataset, names, ("points",), None, "data")


def test_a_background_that_no_label_shows_is_said(by_people, dataset):
    """A network that learns from some boxes alone would see objects everywhere."""
    names = dataset.ids("train")
    for complete, number in ((["boxes"], 0), ([], 1)):
        path = by_people(lambda content, c=complete: content.update(complete=c))
        labels = read_training_labels(path, dataset, names, ("boxes",), None, "data")
        said = [line for line in labels.notes if "no label shows background" in line]
        assert len(said) == number
    assert not read_training_labels(path, dataset, names, ("boxes", "points"), None, "d").notes


@pytest.mark.parametrize("learner", ["unet", "probe"])
def test_open_boxes_of_some_objects_alone_are_refused(learner, by_people, pets_dir, tmp_path):
    path = by_people()
    words = ["--data_dir", pets_dir, "--cache_dir", tmp_path / "cache", "--device", "cpu"]
    words += ["--weak_label_path", path, "--checkpoint_dir", tmp_path, "--img_size", 64]
    words += ["--supervision_mode", "boxes", "--open_boxes", "--run_name", "r"]
    if learner == "probe":  # which has no use for the flag
        run(train, *words, "--learner", "probe", "--rounds", 0)
        return
    with pytest.raises(UserError, match="--open_boxes: says nothing where no list of boxes is c"):
        run(train, *words, "--epochs", 1)


def test_masks_that_are_ignored_all_over_teach_nothing(pets_dir, pets_labels, tmp_path):
    shutil.copytree(pets_dir, tmp_path / "pets")
    dataset = opened(tmp_path / "pets", tmp_path / "cache")
    names = dataset.ids("train")
    for number, name in enumerate(names):
        if number != 1:
            Image.new("L", dataset.image_size(name), 3).save(dataset.mask_path(name))
    labels = read_training_labels(pets_labels, dataset, names, ("full",), None, "data")
    line = f"{dataset.root}: {len(names) - 1} of {len(names)} training masks are ignored all over"
    assert line in labels.notes
    Image.new("L", dataset.image_size(names[1]), 3).save(dataset.mask_path(names[1]))
    with pytest.raises(UserError, match=f"all pixels of the {len(names)} training masks are ign"):
        read_training_labels(pets_labels, dataset, names, ("full",), None, "data")


@pytest.mark.parametrize("kind", ["points", "scribbles"])
@pytest.mark.parametrize("shows_other", [False, True])
def test_labels_of_one_class_alone_are_refused(kind, shows_other, by_people, dataset):
    names = dataset.ids("train")
    mark = {"points": [9, 9, 1], "scribbles": {"class": 1, "width": 3, "path": [[9, 9]]}}[kind]
    other = {"points": [30, 30, 0], "scribbles": {"class": 0, "width": 3, "path": [[30, 30]]}}[kind]

    def change(content):
        for place, name in enumerate(names):
            size = content["images"][name]["size"]
            marks = [mark, other][: 1 + (shows_other and not place)]
            content["images"][name] = {"size": size, kind: marks}

    path = by_people(change)
    labels = read_training_labels(path, dataset, names, (kind,), None, "data")
    if shows_other:
        refuse_one_class(path, dataset, labels)
    else:
        with pytest.raises(UserError, match=rf"show \w+ alone \({kind}\), so that nothing"):
            refuse_one_class(path, dataset, labels)


def test_classes_that_no_label_shows_are_said():
    counted = LabelTally(("points", "boxes"), True, {})
    counted.add({"points": [[1, 1, 0], [2, 2, 1]], "boxes": []})
    assert counted.classes == {0, 1} and counted.objects == 1
    counted = LabelTally(("points", "tags"), True, {"cat": 1})
    counted.add({"points": [[1, 1, 2]], "tags": {"present": ["cat"], "absent": []}})
    assert counted.classes == {1, 2} and counted.background
    counted = LabelTally(("full", "tags"), True, {})
    counted.add({"full": {"objects": 1}})
    assert counted.classes is None


@pytest.mark.parametrize("lacking", ["cat", "dog", None])
@pytest.mark.parametrize("signal", [*WEAK])
def test_a_class_that_no_label_of_any_kind_shows_is_said(signal, lacking):
    shown = [number for number, name in enumerate(BY_PEOPLE.class_names) if name != lacking]
    names = [name for name in BY_PEOPLE.tag_names if name != lacking]
    labels = {
        "tags": {"present": names, "absent": []},
        "points": [[9, 9, number] for number in shown],
        "boxes": [[1, 1, 9, 9, number] for number in shown if number],
    }
    labels.setdefault(signal, [{"class": number} for number in shown])
    dataset = SimpleNamespace(**vars(BY_PEOPLE), tag_class=[1, 2])
    counted = tally({"a": {"size": [60, 40], signal: labels[signal]}}, (signal,), dataset)
    notes = check_tally("mine", dataset, counted, "training")
    told = [f"mine: no label shows {lacking}, so no prediction will"] if lacking else []
    assert [line for line in notes if "background" not in line] == told


def test_complete_lists_of_nothing_alone_are_no_other_mode(by_people, dataset):
    def change(content):
        content["complete"] = True
        content["images"] = {
            name: {"size": one["size"], "points": []} for name, one in content["images"].items()
        }

    with pytest.raises(UserError, match=r"hold nothing \(points\); label what some of them show"):
        read_training_labels(by_people(change), dataset, dataset.ids("train"), None, None, "data")


def test_a_run_of_some_boxes_and_unlabelled_pictures_trains(by_people, pets_dir, tmp_path, capsys):
    """What the run learns of an unlabelled picture is nothing, not that all is background."""
    names = opened(pets_dir, tmp_path / "cache").ids("train")

    def change(content):
        for name in names[: len(names) // 2]:
            del content["images"][name]

    where = ["--data_dir", pets_dir, "--cache_dir", tmp_path / "cache", "--device", "cpu"]
    tiny = ["--weak_label_path", by_people(change), "--checkpoint_dir", tmp_path, "--img_size", 64]
    mode = ["--supervision_modes", "boxes", "points"]
    run(train, *where, *tiny, *mode, "--learner", "probe", "--rounds", 1, "--run_name", "probe")
    short = "--epochs 1 --encoder_weights none --select_by weak_val_loss --recipe strong".split()
    run(train, *where, *tiny, *mode, *short, "--run_name", "unet")
    said = capsys.readouterr().out
    assert said.count(f"{len(names) // 2} of {len(names)} training images have no label") == 2


def test_the_outside_of_some_boxes_is_no_background(by_people, dataset):
    from data_utils import SegmentationItems
    from weakseg.data.cache import ResizedCache

    names = dataset.ids("train")[:3]
    for complete in (True, False):
        path = by_people(lambda content, c=complete: content.update(complete=c))
        labels = labels_for(path, dataset, names, ["boxes"], "data")
        items = SegmentationItems(
            dataset, names, ResizedCache(dataset.cache_dir, 64), labels, ["boxes"]
        )
        target = items[0, 0]["targets"]["boxes"].numpy()
        assert (0 in np.unique(target)) == complete
