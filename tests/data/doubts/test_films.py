"""Films that a split parts frame by frame are told; stretches, and what is no film, are not."""

import numpy as np
import pytest
from PIL import Image

from weakseg.data.doubts.films import film_notes
from weakseg.data.folder import Folder

FRAMES = 30


@pytest.fixture(scope="module")
def frames(tmp_path_factory):
    """Photographs of a camera that passes by a street, in order."""
    folder, rng = tmp_path_factory.mktemp("film"), np.random.default_rng(0)
    spots = Image.fromarray(rng.integers(0, 256, (4, 12), np.uint8))
    street = np.asarray(spots.resize((480, 48), Image.Resampling.BICUBIC), int)
    paths = []
    for number in range(FRAMES):
        shown = street[:, 12 * number : 12 * number + 96] + rng.normal(0, 5, (48, 96))
        paths.append(folder / f"{number}.png")
        Image.fromarray(shown.clip(0, 255).astype(np.uint8)).save(paths[-1])
    return paths


def told(names, files, tested, held=(), grouped=()):
    """Return the lines on pictures of these names; tested, held: their numbers."""
    paths = dict(zip(names, files, strict=True))
    ids = {"test": [names[k] for k in tested], "val": [names[k] for k in held]}
    ids["train"] = [name for name in names if name not in [*ids["test"], *ids["val"]]]
    return film_notes("root", ids.__getitem__, grouped, paths.__getitem__)


RANDOM = range(3, FRAMES, 5)


@pytest.mark.parametrize("name", ["drive_{:04d}", "{}", "test/a b{:03d}_left"])
def test_a_film_is_told_that_is_parted_frame_by_frame(name, frames):
    names = [name.format(number) for number in range(FRAMES)]
    for kind, lines in (
        ("test", told(names, frames, RANDOM)),
        ("test", told(names, frames, RANDOM, range(1, FRAMES, 5))),
        ("validation", told(names, frames, range(24, FRAMES), range(1, 24, 5))),
    ):
        assert [f"{kind} images" in line for line in lines] == [True]
    assert told(names, frames, range(24, FRAMES), range(20, 24)) == []  # stretches
    assert told(names, frames, RANDOM, grouped=names) == []
    mixed = [frames[k] for k in np.random.default_rng(1).permutation(FRAMES)]
    assert told(names, mixed, RANDOM) == []  # they only count photographs, which are alike
    assert told([f"{name}/0" for name in names], frames, RANDOM) == []
    assert told(names, [path.with_name("absent") for path in frames], RANDOM) == []


def test_each_film_has_a_group_of_its_own(frames):
    names = [f"clip{number // 15}_{number % 15}" for number in range(FRAMES)]
    (line,) = told(names, frames, RANDOM)
    assert "6 of 6 test images" in line and "'clip0_3, clip0' for each" in line
    assert "stretch" not in line
    (line,) = told([f"clip_{number}" for number in range(FRAMES)], frames, RANDOM)
    assert "'clip_3, clip 1' for each" in line and "one stretch of the film" in line


def test_a_folder_says_so_until_groups_are_named(frames, tmp_path):
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
    names = [f"clip{number // 8}_{number % 8}" for number in range(16)]
    for number, (name, path) in enumerate(zip(names, frames, strict=False)):
        (tmp_path / f"images/{name}.png").symlink_to(path)
        mask = np.eye(48, 96, number, np.uint8)
        Image.fromarray(mask).save(tmp_path / f"masks/{name}.png")
    (tmp_path / "classes.txt").write_text("background\nblob\n")
    lines = [one for one in Folder(tmp_path, cache_dir=tmp_path / ".c").notes() if "film" in one]
    assert len(lines) == 1 and "groups.txt" in lines[0]
    (tmp_path / "groups.txt").write_text("".join(f"{n}, {n[:5]}\n" for n in names))
    notes = Folder(tmp_path, cache_dir=tmp_path / ".c").notes()
    assert not [line for line in notes if "film" in line]
