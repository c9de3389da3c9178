"""A label that a model helped with costs what the model had learned from, by hand calculations."""

from dataclasses import replace

import pytest
from conftest import run
from page_session import write_photographs

import labels
from weakseg.common import UserError
from weakseg.data.datasets import Folder
from weakseg.labels.costs import hours
from weakseg.labels.store import Event, opened_store
from weakseg.labels.training_labels import read_training_labels

SIZE = (40, 30)
LOOK, FIRST, ANSWER, OBJECT, STROKE = 1.5, 2.4, 2.0, 79.0, 10.9  # seconds of the usual schedule
RUNS = {"width": 2, "height": 2, "counts": [0, 4]}
CLASSES = ("background", "cat", "dog")


def looked(source, picture):
    return Event(source, picture, "looked", geometry={"size": [*SIZE], "complete": []})


def drawn(picture, *shapes, seen=False):
    """Return the events of a picture that was drawn on; shapes: (kind, class, geometry)."""
    events = [
        Event("drawing", picture, "shape", kind=kind, label=label, geometry=geometry)
        for kind, label, geometry in shapes
    ]
    facts = {"visit": f"{picture} {seen}", "prediction": seen}
    facts |= {"shapes": [{"prediction": seen} for _ in shapes]}
    return [looked("drawing", picture), *events, Event("drawing", picture, "drawn", geometry=facts)]


def click(label, x):
    return "click", label, [x, 5.5]


def answers(picture, *columns):
    made = [{"x": x + 0.5, "y": 9.5, "drawn": "random", "fit": 0} for x in columns]
    return [looked("questions", picture)] + [
        Event("questions", picture, "shape", kind="answer", label="cat", geometry=one)
        for one in made
    ]


@pytest.fixture
def cost(tmp_path):
    """Return what a run on some pictures and kinds costs, in seconds, after some events."""
    write_photographs(tmp_path / "my", {f"images/{name}.png": SIZE for name in "abcd"})
    (tmp_path / "my/classes.txt").write_text("\n".join(CLASSES))
    dataset = Folder(tmp_path / "my")
    with opened_store(tmp_path, create=True) as store:
        said = {"names": [*CLASSES], "has_background": True}
        store.append([Event("", "", "classes", geometry=said)])

    def of(names, signals, *events):
        with opened_store(tmp_path) as store:
            store.append([one for some in events for one in some])
        found = read_training_labels(tmp_path, dataset, [*names], signals, None, tmp_path)
        return 3600 * hours(found.cost)

    return of


BEHIND = 2 * FIRST + 3 * ANSWER + 2 * LOOK  # two clicks on a, three answers about b
GIVEN = [drawn("a", click("cat", 3), click("background", 30)), answers("b", 1, 2, 3)]
MASK = ("accepted", "cat", {"left": 4, "top": 4, **RUNS, "model": "probe 0a"})


def test_an_accepted_mask_costs_a_look_and_the_labels_behind_it(cost):
    accepted = drawn("c", MASK, ("polygon", "dog", [[[[9, 9], [20, 9], [20, 20]]]]), seen=True)
    later = [answers("b", 11, 12), answers("d", 3)]
    given = [*GIVEN, accepted, *later]
    assert cost("c", ["full"], *given) == pytest.approx(OBJECT + LOOK + BEHIND)
    # What the run learns from counts once, and what came later where it learns from it.
    everything = 2 * FIRST + 6 * ANSWER + OBJECT + 4 * LOOK
    assert cost("bcd", ["full", "pixels"]) == pytest.approx(everything)  # the clicks are behind
    assert cost("abcd", None) == pytest.approx(everything)
    # A run that learns from nothing that a model helped with pays for its own labels.
    assert cost("a", ["points"]) == pytest.approx(2 * FIRST + LOOK)
    assert cost("bd", ["pixels"]) == pytest.approx(6 * ANSWER + 2 * LOOK)


@pytest.mark.parametrize("strokes", [0, 1, 3])
def test_a_corrected_mask_costs_its_strokes_and_what_an_accepted_one_does(cost, strokes):
    (_, label, runs) = MASK
    mended = "mask", label, {**runs, "corrections": strokes}
    cut = "mask", "background", {"left": 9, "top": 9, **RUNS}  # one stroke of the background
    given = [*GIVEN, drawn("c", mended), drawn("d", mended, cut)]
    assert cost("c", ["full"], *given) == pytest.approx(strokes * STROKE + LOOK + BEHIND)
    # The mask on c was there before the one on d.
    both = (2 * strokes + 1) * STROKE + 2 * LOOK + BEHIND
    assert cost("cd", ["full"]) == cost("d", ["full"]) == pytest.approx(both)


def test_a_correction_costs_what_any_click_does_and_the_labels_behind_it(cost):
    given = [*GIVEN, drawn("c", click("dog", 9), seen=True), answers("d", 3)]
    assert cost("ac", ["points"], *given) == pytest.approx(FIRST + LOOK + BEHIND)
    assert cost("a", ["points"]) == pytest.approx(2 * FIRST + LOOK)


def test_a_correction_whose_class_was_renamed_is_one_still(cost):
    given = [*GIVEN, drawn("c", click("dog", 9), seen=True)]
    before = cost("c", ["points"], *given)
    number = sum(map(len, given))  # of the click, the last but one; the classes are the first
    again = Event(
        "drawing", "c", "shape", kind="click", label="cat", geometry=[9, 5.5], replaced=number
    )
    assert cost("c", ["points"], [again]) == before == pytest.approx(FIRST + LOOK + BEHIND)


@pytest.mark.parametrize("way", ["a file", "the store"])
def test_who_takes_labels_over_pays_for_what_stands_behind_them(tmp_path, cost, way):
    """Whatever a run learns from, it costs as much in another store, and the same people."""
    accepted = drawn("a", MASK, seen=True)  # on a picture that comes before those behind it
    given = [*GIVEN, accepted, drawn("c", click("dog", 9), seen=True), answers("d", 3)]
    given = [[replace(one, annotator="ann") for one in some] for some in given]
    cost("a", None, *given)
    words = ["--images", tmp_path / "my/images", "--output", tmp_path / "other"]
    source = tmp_path
    if way == "a file":
        source = tmp_path / "out.json"
        run(labels, "export", "--labels", tmp_path, "--format", "weakseg", "--output", source)
    for _ in range(2):  # what is imported twice is there once
        run(labels, "import", source, *words)
    for names in ("a", "b", "c", "d", "ac", "bd", "abcd"):
        for signals in (None, ["points"], ["full"], ["pixels"]):
            assert outcome(tmp_path, names, signals) == outcome(tmp_path / "other", names, signals)
    people, events = [], []
    for folder in (tmp_path, tmp_path / "other"):
        with opened_store(folder) as store:
            shapes = [event for _, _, event in store.events("shape")]
            events.append([(one.picture, one.kind) for one in shapes])
            people.append({one.annotator for one in shapes})
    assert people == [{"ann"}, {"ann"}] and events[0] == events[1]  # in their order


def outcome(folder, names, signals):
    """Return what a run costs, or why there is none."""
    dataset = Folder((folder if (folder / "my").exists() else folder.parent) / "my")
    try:
        found = read_training_labels(folder, dataset, [*names], signals, None, folder)
    except UserError as error:
        return str(error).partition(": ")[2]
    return found.cost["counts"], hours(found.cost)


def test_without_a_prediction_in_view_nothing_stands_behind(cost):
    given = [*GIVEN, drawn("c", click("dog", 9)), answers("d", 3)]
    assert cost("c", ["points"], *given) == pytest.approx(FIRST + LOOK)
