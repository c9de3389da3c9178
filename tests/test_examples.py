"""examples/ holds small, credited photographs that every command opens as they are."""

from collections import Counter

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

from weakseg.data.datasets import DataOptions, open_dataset

EXAMPLES = ROOT / "examples"
COUNTS = {"pets": (90, 10, 50), "nuclei": (36, 4, 20)}  # train, val, test


@pytest.fixture(params=COUNTS)
def dataset(request, tmp_path):
    options = DataOptions(data_dir=str(EXAMPLES / request.param), cache_dir=str(tmp_path))
    return open_dataset(options)


def everything(dataset):
    return dataset.ids("trainval") + dataset.ids("test")


def test_splits_are_whole_and_nothing_is_absent(dataset):
    sizes = tuple(len(dataset.ids(split)) for split in ("train", "val", "test"))
    assert sizes == COUNTS[dataset.root.name] and not dataset.absent


def test_every_picture_is_small_and_fits_its_mask(dataset):
    for name in everything(dataset):
        image, mask = dataset.load(name)
        assert max(image.shape[:2]) <= 256
        assert set(np.unique(mask)) <= {0, 1, 255} and (mask == 1).any(), name


def test_pets_are_of_both_species_and_many_breeds(tmp_path):
    options = DataOptions(data_dir=str(EXAMPLES / "pets"), cache_dir=str(tmp_path), tag_set="breed")
    dataset = open_dataset(options)
    for split, half, breeds in (("trainval", 50, 25), ("test", 25, 15)):
        facts = [dataset.facts[name] for name in dataset.ids(split)]
        assert Counter(species for species, _ in facts) == {"cat": half, "dog": half}
        assert len({breed for _, breed in facts}) >= breeds


def test_instances_are_the_nuclei_of_the_mask_counted_from_one(tmp_path):
    options = DataOptions(data_dir=str(EXAMPLES / "nuclei"), cache_dir=str(tmp_path))
    dataset = open_dataset(options)
    for name in everything(dataset):
        picture = Image.open(EXAMPLES / "nuclei" / "instances" / f"{name}.png")
        numbers = np.asarray(picture)
        assert numbers.dtype == np.uint16
        assert np.array_equal(numbers > 0, dataset.mask(name) == 1)
        assert np.array_equal(np.unique(numbers[numbers > 0]), np.arange(1, numbers.max() + 1))


def test_all_files_are_listed_and_take_at_most_four_megabytes(dataset):
    files = [path for path in EXAMPLES.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 4e6
    images = {path.stem for path in (dataset.root / "images").iterdir()}
    assert images == set(everything(dataset))


def test_authors_addresses_and_licences_are_named():
    readme, pets, nuclei = (
        " ".join((EXAMPLES / name).read_text(encoding="utf-8").split())
        for name in ("README.md", "pets/LICENSE", "nuclei/LICENSE")
    )
    for text in (readme, pets):
        for author in ("Parkhi", "Vedaldi", "Zisserman", "Jawahar"):
            assert author in text
        assert "https://www.robots.ox.ac.uk/~vgg/data/pets/" in text
        assert "https://creativecommons.org/licenses/by-sa/4.0/" in text and "made smaller" in text
    for text in (readme, nuclei):
        assert "BBBC038" in text and "https://creativecommons.org/publicdomain/zero/1.0/" in text
