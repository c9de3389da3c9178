"""Pictures that are called as made of one photograph are told where a split parts them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from weakseg.data.doubts.named_copies import parted_copies, source_of
from weakseg.data.folder import Folder

WORDS = ["_aug0", "-flip", "_hflip", " copy", "_augmented_3", "_rot90", ".crop.2", "_resized"]
AUGMENTOR = "train_original_{}.jpg_0a1b0000-aaaa-4bbb-8ccc-0123456789a{}"
HASH = ".rf.0f1e2d3c4b5a69788796a5b4c3d2e1f0"


@settings(max_examples=40)
@given(
    st.sampled_from(["a", "p/0001", "IMG_2031", "crop", "2024_aug"]),
    st.lists(st.sampled_from(WORDS), max_size=3),
    st.sampled_from(["", HASH]),
)
def test_what_was_added_to_a_name_leads_back_to_it_only_where_it_is_there(name, words, version):
    made = name + "".join(words) + version
    assert source_of(made, {name, made}) == name
    assert source_of(made, {made}) == made.removesuffix(version)


@pytest.mark.parametrize(
    ("one", "other", "is_copy"),
    [
        (f"a_jpg{HASH}", f"a_jpg{HASH[:-1]}7", True),
        (f"test/a_jpg{HASH}", f"train/a_jpg{HASH[:-1]}7", True),
        (f"x/a_jpg{HASH}", f"y/a_jpg{HASH}", False),
        (f"test/a_jpg{HASH}", "train/a", True),
        (AUGMENTOR.format("a", 1), "a", True),
        (f"p/{AUGMENTOR.format('a', 1)}", f"p/{AUGMENTOR.format('a', 2)}", True),
        (AUGMENTOR.format("a", 1), AUGMENTOR.format("b", 2), False),
        ("a", "a_aug0", True),
        ("p/aug_0_a", "p/a", True),
        ("aug_0_a_flip", "a", True),
        ("aug_1", "aug_2", False),
        ("test/a_flip", "train/a", True),
        ("test/a", "train/a", False),  # cameras number pictures anew in each folder
        ("site_aug1", "site_aug2", False),  # days in August
        ("cat1", "cat", False),
        ("img_0001", "img_0002", False),
    ],
)
def test_names_on_both_sides_of_a_split(one, other, is_copy):
    assert parted_copies([one], [other]) == parted_copies([one], [other, "z"])
    assert bool(parted_copies([one], [other])) == bool(parted_copies([other], [one])) == is_copy


def test_a_folder_says_so_and_a_list_of_groups_mends_it(tmp_path: Path):
    for number in range(20):
        for place in ("p{}", "p{}_flip"):
            for kind in ("images", "masks"):
                path = tmp_path / kind / f"{place.format(number)}.png"
                path.parent.mkdir(exist_ok=True)
                shape = (4, 4) if kind == "masks" else (4, 4, 3)
                pixels = np.random.default_rng([number, len(place)]).integers(0, 2, shape)
                Image.fromarray(pixels.astype(np.uint8)).save(path)
    (tmp_path / "classes.txt").write_text("background\nblob\n")

    def told() -> list[str]:
        lines = Folder(tmp_path, cache_dir=tmp_path / ".cache").notes()
        return [line for line in lines if "are called as copies" in line]

    (line,) = told()
    assert "groups.txt" in line
    names = [f"p{number}{end}, {number}\n" for number in range(20) for end in ("", "_flip")]
    (tmp_path / "groups.txt").write_text("".join(names))
    assert told() == []
