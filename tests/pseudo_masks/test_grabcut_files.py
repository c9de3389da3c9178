"""The GrabCut masks of many images: the files they are kept in, and real photographs."""

import itertools
import pickle
import shutil
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from weakseg.common import IGNORE, UserError
from weakseg.data.base import SegmentationDataset
from weakseg.data.cache import ResizedCache
from weakseg.data.datasets import DataOptions, open_dataset
from weakseg.labels import annotators
from weakseg.labels.label_file import labels_for
from weakseg.labels.simulate import annotate
from weakseg.labels.targets import View
from weakseg.pseudo_masks import grabcut_files
from weakseg.pseudo_masks.grabcut import USED, Options, pseudo_mask
from weakseg.pseudo_masks.grabcut_files import PseudoMasks, pseudo_masks

REAL = ROOT.parent / "shared" / "data" / "oxford-iiit-pet"
MIXES = [("boxes",), ("boxes", "points"), ("boxes", "scribbles"), ("scribbles",)]


@pytest.fixture(scope="module")
def pets(pets_dir, pets_labels, tmp_path_factory):
    """Images, labels and a cache of the drawn data set."""
    return gather(pets_dir, pets_labels, tmp_path_factory.mktemp("cache"))


def opened_data(data_dir, cache_dir):
    return open_dataset(
        DataOptions(
            data_dir=data_dir,
            dataset="auto",
            classes=[],
            tag_set="default",
            cache_dir=cache_dir,
            val_fraction=0.1,
            split_seed=0,
        )
    )


class Gathered(NamedTuple):
    """What masks are cut from."""

    dataset: SegmentationDataset
    ids: list
    labels: dict
    cache: ResizedCache


def gather(data_dir, label_path, cache_dir):
    dataset = opened_data(data_dir, cache_dir)
    ids = dataset.ids("train")
    labels = dict(labels_for(label_path, dataset, ids, USED, data_dir))
    return Gathered(dataset, ids, labels, ResizedCache(cache_dir, 32))


def make(pets, folder, signals=("boxes",), jobs=1, **changes):
    sources = pets._asdict() | changes
    return pseudo_masks(signals=signals, folder=folder, jobs=jobs, **sources)


@pytest.fixture
def cuts(monkeypatch):
    """Collect the annotations of each image that is cut."""
    made = []
    monkeypatch.setattr(
        grabcut_files, "pseudo_mask", lambda *args: made.append(args[1]) or pseudo_mask(*args)
    )
    return made


def assert_same(ours, theirs):
    assert list(ours) == list(theirs)
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("signals", [*MIXES, ("tags", "boxes", "full")], ids="+".join)
def test_masks_are_cut_once_and_then_read(pets, tmp_path, cuts, signals):
    masks, outcomes = make(pets, tmp_path, signals)
    assert list(masks) == pets.ids and len(masks) == len(pets.ids) == len(cuts)
    for name in pets.ids[:4]:
        labels = {signal: pets.labels[name][signal] for signal in signals if signal in USED}
        image = pets.cache.image(pets.dataset.image_path(name)).transpose(1, 2, 0)
        expected, _ = pseudo_mask(
            np.ascontiguousarray(image), labels, View(*pets.labels[name]["size"], 32)
        )
        assert np.array_equal(masks[name], expected)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert len(files) == len(pets.ids)
    again, same = make(pets, tmp_path, signals)
    assert len(cuts) == len(pets.ids) and same == outcomes and outcomes.total() >= len(pets.ids)
    assert files == {
        path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()
    }
    assert_same(again, masks)


def test_the_number_of_processes_changes_nothing(pets, tmp_path):
    assert len(pets.ids) > grabcut_files.CHUNK
    (alone, outcomes), (together, same) = (
        make(pets, tmp_path / str(n), ("scribbles",), n) for n in (1, 2)
    )
    assert outcomes == same
    assert_same(alone, together)
    files = [
        sorted(p.relative_to(tmp_path / n) for p in (tmp_path / n).rglob("*.png")) for n in "12"
    ]
    assert files[0] == files[1]


def test_whatever_a_mask_depends_on_makes_it_anew(pets, tmp_path, cuts):
    few = pets.ids[:3]
    make(pets, tmp_path, ids=few)
    name = few[1]
    box = pets.labels[name]["boxes"][0]
    moved = {"boxes": [[box[0] + 1, *box[1:]]]}
    other = pets.labels | {name: pets.labels[name] | moved}
    for count, change in (
        (1, {"labels": other}),
        (1, {"labels": pets.labels | {name: pets.labels[name] | {"size": [77, 79]}}}),
        (3, {"cache": ResizedCache(pets.cache.folder.parent, 24)}),
        (3, {"options": Options(margin=0.5)}),
        (3, {"signals": ("boxes", "points")}),
        (0, {"signals": ("boxes", "tags")}),
        (0, {"labels": {n: labels | {"points": "other"} for n, labels in pets.labels.items()}}),
        (1, {"ids": pets.ids[2:4]}),
    ):
        before = len(cuts)
        make(pets, tmp_path, **{"ids": few} | change)
        assert len(cuts) - before == count, change
    make(pets, tmp_path, ids=few)  # the first ones are still there
    assert len(cuts) == before + 1


def test_a_changed_photograph_makes_its_mask_anew(pets_dir, pets_labels, tmp_path, cuts):
    shutil.copytree(pets_dir, tmp_path / "data")
    pets = gather(tmp_path / "data", pets_labels, tmp_path / "cache")
    make(pets, tmp_path / "masks")
    path, before = pets.dataset.image_path(pets.ids[0]), len(cuts)
    Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path, quality=91)
    make(pets, tmp_path / "masks")
    assert len(cuts) == before + 1


def rewrite(path, *, size=(32, 32), mode="L", **text):
    info = PngInfo()
    for key, value in text.items():
        info.add_text(key, value)
    Image.new(mode, size).save(path, pnginfo=info)


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-60]),
    "text": lambda path: path.write_bytes(b"not a picture"),
    "missing": Path.unlink,
    "other size": lambda path: rewrite(path, size=(32, 31), outcome="{}"),
    "colour": lambda path: rewrite(path, mode="RGB", outcome="{}"),
    "no outcome": lambda path: rewrite(path),
    "outcome that is no JSON": lambda path: rewrite(path, outcome="{"),
    "outcome that is a number": lambda path: rewrite(path, outcome="1"),
}


def test_a_damaged_file_is_made_anew(pets, tmp_path, cuts):
    ids = pets.ids[: len(DAMAGES) + 1]
    masks, outcomes = make(pets, tmp_path, ids=ids)
    whole = {name: masks.paths[name].read_bytes() for name in ids}
    expected = {name: masks[name] for name in ids}
    for name, damage in zip(ids, DAMAGES.values(), strict=False):
        damage(masks.paths[name])
        with pytest.raises(UserError, match=rf"{name}.*\.png: can't be read any more; start again"):
            masks[name]
    del cuts[:]
    again, same = make(pets, tmp_path, ids=ids)
    assert len(cuts) == len(DAMAGES) and same == outcomes
    assert_same(again, expected)
    assert whole == {name: again.paths[name].read_bytes() for name in ids}


@pytest.mark.parametrize("calls", [1, 7, 17])
def test_a_run_that_was_killed_goes_on(pets, tmp_path, cuts, monkeypatch, calls):
    expected, outcomes = make(pets, tmp_path / "whole")
    real, count = grabcut_files.store, itertools.count(1)

    def dies(*args):
        real(*args)
        if next(count) == calls:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(grabcut_files, "store", dies)
        make(pets, tmp_path / "parts")
    del cuts[:]
    masks, same = make(pets, tmp_path / "parts")
    assert len(cuts) == len(pets.ids) - calls and same == outcomes
    assert_same(masks, expected)
    entries = list((tmp_path / "parts").rglob("*"))
    assert len(entries) == len(pets.ids) + 1  # one folder, and no litter


def test_masks_travel_to_other_processes(pets, tmp_path):
    masks, _ = make(pets, tmp_path, ids=pets.ids[:2])
    copy = pickle.loads(pickle.dumps(masks))
    assert isinstance(copy, PseudoMasks) and len(pickle.dumps(masks)) < 2000
    assert_same(copy, masks)
    with pytest.raises(KeyError):
        masks[pets.ids[2]]


@pytest.mark.parametrize("signals", [(), ("tags",), ("tags", "full")])
def test_signals_that_show_no_place_are_refused(pets, tmp_path, signals):
    with pytest.raises(UserError, match="choose among points, scribbles, outlines, boxes"):
        make(pets, tmp_path, signals)


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_unreadable_photograph_is_named(pets_dir, pets_labels, tmp_path, jobs):
    shutil.copytree(pets_dir, tmp_path / "data")
    pets = gather(tmp_path / "data", pets_labels, tmp_path / "cache")
    path = pets.dataset.image_path(pets.ids[-1])
    path.write_bytes(b"damaged")
    with pytest.raises(UserError, match=f"{path.name}: not a readable image"):
        make(pets, tmp_path / "masks", jobs=jobs)
    path.unlink()
    with pytest.raises(UserError, match=f"{path.name}: cannot be read"):
        make(pets, tmp_path / "masks", jobs=jobs)


def test_no_image_is_no_work(pets, tmp_path):
    masks, outcomes = make(pets, tmp_path, ids=[])
    assert len(masks) == 0 and outcomes == Counter()


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real photographs are not at {REAL}")
@pytest.mark.parametrize(
    ("least", "signals"),
    [(0.92, ("boxes",)), (0.94, ("boxes", "scribbles")), (0.94, ("scribbles",))],
)
def test_real_pets_are_found(tmp_path, least, signals):
    dataset, cache = opened_data(REAL, tmp_path), ResizedCache(tmp_path, 96)
    right = all_sure = pixels = 0
    for name in dataset.ids("train")[::40]:
        truth = dataset.resized_mask(name, cache)
        labels = annotate(dataset, name, annotators.Options(), 0, signals)
        image = cache.image(dataset.image_path(name)).transpose(1, 2, 0)
        mask, _ = pseudo_mask(image, labels, View(*labels["size"], 96))
        sure = (mask != IGNORE) & (truth != IGNORE)
        right += np.count_nonzero(sure & (mask == truth))
        all_sure += np.count_nonzero(sure)
        pixels += np.count_nonzero(truth != IGNORE)
    assert right / all_sure > least and all_sure / pixels > 0.9
