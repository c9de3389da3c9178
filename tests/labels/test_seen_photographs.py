"""A store knows which photographs its labels were given on."""

import pytest
from conftest import run
from PIL import Image

import labels
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels.formats.records import Shape
from weakseg.labels.label_file import labels_for, load_labels, save_labels
from weakseg.labels.seen_photographs import ACT, held_by_source, note_photographs, noted_photographs
from weakseg.labels.store import Event, Given, opened_store
from weakseg.labels.store_labels import refuse_two_sizes


def test_photographs_swapped_after_an_import_are_told_until_the_next(tmp_path, capsys):
    data, store = tmp_path / "data", tmp_path / "store"
    (data / "images").mkdir(parents=True)
    (data / "classes.txt").write_text("background\ncat\n")
    lines = ["image,kind,class,x,y"]
    for number in range(6):
        Image.new("RGB", (40, 30), (number, 9, 9)).save(data / f"images/p{number}.bmp")
        lines.append(f"p{number}.bmp,click,cat,{number + 5.5},7.5")
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    words = ["import", tmp_path / "mine.csv", "--images", data / "images", "--output", store]

    def notes(store=store):
        dataset = open_dataset(DataOptions(str(data), cache_dir=str(tmp_path / "cache")))
        return labels_for(store, dataset, dataset.ids("train"), ["points"], data).notes

    for _ in range(2):
        run(labels, *words)
        assert notes() == []
    with opened_store(store) as opened:
        assert len([*opened.events(ACT)]) == len(noted_photographs(opened)) == 6
    one, two = data / "images/p0.bmp", data / "images/p1.bmp"
    held = one.read_bytes(), two.read_bytes()
    one.write_bytes(held[1])
    two.write_bytes(held[0])
    assert notes() == [
        f"{store}: 2 photographs changed since the labels of weakseg mine were given, the first "
        "p0; where they still fit, import them again, or save them again on the page"
    ]
    capsys.readouterr()
    for is_told in (True, False):  # who imports it again says that they still fit
        run(labels, "import", store, *words[2:-1], tmp_path / "copy")
        assert "2 photographs changed since the labels of weakseg mine" in capsys.readouterr().out
        assert ["2 photographs changed" in line for line in notes(tmp_path / "copy")] == (
            [True] if is_told else []
        )
    (tmp_path / "tags.csv").write_text("image,kind,class\np0.bmp,tag,cat\np1.bmp,tag,cat")
    before = notes()
    run(labels, "import", tmp_path / "tags.csv", *words[2:])
    assert notes() == before  # labels of others say nothing of these
    run(labels, *words)
    assert notes() == []
    one.write_bytes(held[0])
    two.write_bytes(held[1])
    assert [line.split(" were ")[0].split()[-1] for line in notes()] == ["mine", "tags"]


def test_a_source_without_a_note_has_the_one_that_held_when_its_labels_came(tmp_path):
    """A note may have been left out where another source had one of the same content."""
    click = {0: Shape("click", "cat", [5.0, 5.0])}
    with opened_store(tmp_path, create=True) as store:

        def held():
            found = held_by_source(noted_photographs(store), store.given())
            return {source: of["a"] for source, of in found.items()}

        store.update("none", {"a": Given(click)})
        assert held() == {}
        for source, text in (("first", "old"), ("second", None), ("first", "new"), ("late", None)):
            store.update(source, {"a": Given(click)})
            store.append([Event(source, "a", ACT, geometry=text)] if text else [])
        assert held() == {"first": "new", "second": "old", "late": "new"}
        (tmp_path / "a.jpg").write_bytes(b"new")
        note_photographs(store, "second", {"a": tmp_path / "a.jpg"})
        assert held()["second"] not in ("old", "new") and held()["first"] == "new"
        store.update("second", {"a": Given()})
        assert "second" not in held()


def test_sources_that_labelled_a_photograph_at_two_sizes_are_refused_until_they_agree():
    click, tag = {0: Shape("click", "cat", [5.0, 5.0])}, {0: Shape("tag", "cat", True)}
    small, large = (40, 30), (80, 60)
    old = {"mine": Given(click, small), "looked": Given({}, large), "tags": Given(tag, large)}
    refuse_two_sizes(old)
    with pytest.raises(ValueError, match="sizes, mine at 40x30 and more at 80x60; import"):
        refuse_two_sizes(old | {"more": Given(click, large)})
    refuse_two_sizes(old | {"mine": Given(click, large), "more": Given(click, large)})


def test_a_file_has_no_notes_of_its_own(pets_dir, pets_labels, tmp_path):
    content = load_labels(pets_labels)
    head = {key: one for key, one in content.items() if key not in ("images", "count")}
    head |= {"notes": ["not ours"], "strays": ["x"], "drawn": {}}
    save_labels(tmp_path / "labels.pkl", head, content["count"], content["images"].items())
    dataset = open_dataset(DataOptions(str(pets_dir), cache_dir=str(tmp_path / "cache")))
    found = labels_for(tmp_path / "labels.pkl", dataset, dataset.ids("train"), ["points"], pets_dir)
    assert not found.notes and not found.strays
