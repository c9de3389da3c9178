"""An earlier copy of a store revives nothing that was removed since; a later one comes in."""

import re
import shutil

import pytest
from conftest import run
from PIL import Image

import labels
from weakseg.labels.store import Event, opened_store

SIZE = {"size": [60, 40], "complete": []}


@pytest.fixture
def at(tmp_path):
    """Return what draws boxes into a store, {name of a picture: left edges}, at a time."""
    (tmp_path / "images").mkdir()
    for name in "ab":
        Image.new("RGB", (60, 40), ord(name)).save(tmp_path / f"images/{name}.png")

    def draw(name, moment, added, removed=(), source="ann"):
        events = []
        for key, lefts in added.items():
            boxes = [[left, 2, left + 9, 30] for left in lefts]
            events += [Event(source, key, "shape", "", "box", "cat", box) for box in boxes]
            events.append(Event(source, key, "looked", geometry=SIZE))
        with opened_store(tmp_path / name, create=True) as store:
            events += [Event(source, "a", "removed", replaced=number) for number in removed]
            store.append(events, at=moment)

    return draw


def lefts_in(folder):
    """Return {picture: left edges of boxes} of all that a store has."""
    with opened_store(folder) as store:
        return {
            key: sorted({s.geometry[0] for one in sources.values() for s in one.shapes.values()})
            for key, sources in store.given().items()
        }


@pytest.mark.parametrize("words", [(), ("--source", "all")])
@pytest.mark.parametrize("order", ["old new", "new old", "old new old new"])
@pytest.mark.parametrize("into", ["main", "new"])
def test_an_earlier_copy_of_a_store_revives_nothing(into, order, words, at, tmp_path, capsys):
    at("old", 1000.0, {"a": [3, 20]})
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    at("new", 2000.0, {"b": [5]}, removed=[1])
    if into == "new" and words:
        return  # who names another source wants both
    names, told = [name for name in order.split() if name != into], []
    for name in names:
        command = ["import", tmp_path / name, "--images", tmp_path / "images", *words]
        run(labels, *command, "--output", tmp_path / into)
        told.append("it is left out, since" in capsys.readouterr().out)
    assert lefts_in(tmp_path / into) == {"a": [20], "b": [5]}
    later = [into, *names]
    assert told == [name == "old" and "new" in later[: k + 1] for k, name in enumerate(names)]


def test_a_copy_that_went_its_own_way_comes_in_and_what_was_removed_here_is_told(
    at, tmp_path, capsys
):
    at("mine", 1000.0, {"a": [3, 20]})
    shutil.copytree(tmp_path / "mine", tmp_path / "other")
    at("mine", 2000.0, {"b": [5]}, removed=[1])
    at("other", 1500.0, {"b": [30]})
    at("other", 1600.0, {"b": [44]}, source="ben")
    run(
        labels,
        "import",
        tmp_path / "other",
        "--images",
        tmp_path / "images",
        "--output",
        tmp_path / "mine",
    )
    out = capsys.readouterr().out
    assert re.search("1 shapes of ann that were removed here .* in it, the first in a;", out)
    assert "left out" not in out
    assert lefts_in(tmp_path / "mine") == {"a": [3, 20], "b": [5, 30, 44]}


def test_what_is_here_already_is_not_taken_twice(at, tmp_path, capsys):
    """As where one person labels on in a copy of another one's store, and sends it back."""
    at("mine", 1000.0, {"a": [3, 20]})
    shutil.copytree(tmp_path / "mine", tmp_path / "other")
    at("other", 1600.0, {"b": [44]}, source="ben")
    command = ["import", tmp_path / "other", "--images", tmp_path / "images"]
    run(labels, *command, "--output", tmp_path / "mine")
    assert "store ann: its 2 shapes are here already, and are" in capsys.readouterr().out
    assert lefts_in(tmp_path / "mine") == {"a": [3, 20], "b": [44]}
    with opened_store(tmp_path / "mine") as store:
        assert len(store.given()["a"]) == 1  # nobody pays for it twice


def test_stores_of_two_people_are_no_copies_of_one(at, tmp_path, capsys):
    at("one", 2000.0, {"a": [3]})
    at("other", 1000.0, {"b": [5]})  # of the same source, by the same name
    for name in ("one", "other"):
        run(
            labels,
            "import",
            tmp_path / name,
            "--images",
            tmp_path / "images",
            "--output",
            tmp_path / "main",
        )
        assert "left out" not in capsys.readouterr().out
    assert lefts_in(tmp_path / "main") == {"a": [3], "b": [5]}
