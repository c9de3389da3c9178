"""Where the files of Oxford-IIIT Pet and PASCAL VOC 2012 lie, and where they come from."""

from dataclasses import dataclass
from pathlib import Path

from weakseg.common import UserError
from weakseg.data.image_io import MOST_PIXELS, opened, upright_size
from weakseg.data.lists import read_ids


@dataclass(frozen=True)
class Layout:
    """Where the files of a data set lie, and where they come from.

    home: folder of the data set below --data_dir
    nests: folders below --from_dir in which a copy may lie as well
    image, mask: path of an image's files below the data set's folder, `{}` for its name
    lists: files whose lines begin with an image's name; a folder that has them is complete
    more_lists, extras: lists and other files that are taken along where they exist
    archives: (URL, MD5), as in torchvision.datasets.OxfordIIITPet and VOCSegmentation
    next_command: what to run when the data are there, `{}` for --data_dir
    """

    name: str
    home: str
    nests: tuple[str, ...]
    image: str
    mask: str
    lists: tuple[str, ...]
    more_lists: tuple[str, ...]
    extras: tuple[str, ...]
    archives: tuple[tuple[str, str], ...]
    next_command: str

    def image_path(self, root: Path, name: str) -> Path:
        """Return where an image lies when the data set's folder is `root`."""
        return root / self.image.format(name)

    def mask_path(self, root: Path, name: str) -> Path:
        """Return where an image's mask lies when the data set's folder is `root`."""
        return root / self.mask.format(name)

    def has_lists(self, root: Path) -> bool:
        """Tell whether every list that must be there is."""
        return all((root / path).is_file() for path in self.lists)

    def present_lists(self, root: Path) -> list[Path]:
        """Return the paths of all lists; of the optional ones those that are there."""
        optional = [root / path for path in self.more_lists if (root / path).is_file()]
        return [root / path for path in self.lists] + optional

    def names(self, root: Path) -> list[str]:
        """Return the sorted image names in all lists; a list that is missing is a `UserError`."""
        return sorted({name for path in self.present_lists(root) for name in names_in(path)})

    def find(self, folder: Path) -> Path:
        """Return the data set's folder: `folder`, or one of the usual folders below it."""
        places = [folder, *(folder / nest for nest in self.nests)]
        for place in places:
            if self.has_lists(place):
                return place
        for place in places:
            if self.image_path(place, "").parent.is_dir():
                return place
        raise UserError(
            f"{folder}: no {self.name} data set here (looked for {self.lists[0]} in "
            f"{', '.join(map(str, places))}); check --from_dir and --dataset"
        )

    def find_fault(self, root: Path, name: str) -> str | None:
        """Return one line on what is wrong with an image or its mask, None where nothing is.

        Both are decoded to their last byte, and must be of one size, turned upright or not.
        """
        sizes = []
        for path in (self.image_path(root, name), self.mask_path(root, name)):
            if not path.exists():
                return f"{path}: missing"
            try:
                with opened(path, most=MOST_PIXELS) as picture:
                    picture.load()
                    sizes.append({picture.size, upright_size(picture)})
            except UserError as error:
                return str(error)
        if sizes[0] & sizes[1]:
            return None
        return f"{path}: another size than its image ({sizes[1]}, not {sizes[0]})"


def names_in(path: Path) -> list[str]:
    """Return the image names of one list; a missing or empty one is a `UserError`."""
    if not path.is_file():
        raise UserError(f"{path}: this list is missing; the data set is not whole without it")
    return read_ids(path)


PETS_URL = "https://www.robots.ox.ac.uk/~vgg/data/pets/data"
VOC_URL = "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012"
LABEL_COMMAND = (
    "python weak_label_generator.py {}--data_dir {{}} "
    "--output_file ./weak_labels/weak_labels_train.pkl"
)
PETS = Layout(
    name="pets",
    home="",
    nests=("oxford-iiit-pet", "pets"),
    image="images/{}.jpg",
    mask="annotations/trimaps/{}.png",
    lists=("annotations/trainval.txt", "annotations/test.txt", "annotations/list.txt"),
    more_lists=(),
    extras=(),
    archives=(
        (f"{PETS_URL}/images.tar.gz", "5c4f3ee8e5d25df40f4fd59a7f44e54c"),
        (f"{PETS_URL}/annotations.tar.gz", "95a8c909bbe2e81eed6a22bccdf3f68f"),
    ),
    next_command=LABEL_COMMAND.format(""),
)
VOC = Layout(
    name="voc",
    home="VOCdevkit/VOC2012",
    nests=("VOCdevkit/VOC2012", "VOC2012"),
    image="JPEGImages/{}.jpg",
    mask="SegmentationClass/{}.png",
    lists=("ImageSets/Segmentation/train.txt", "ImageSets/Segmentation/val.txt"),
    more_lists=("ImageSets/Segmentation/trainval.txt", "ImageSets/Segmentation/train_aug.txt"),
    extras=("human_points.json",),
    archives=((f"{VOC_URL}/VOCtrainval_11-May-2012.tar", "6cd6e144f989b92b3379bac3b3de84fd"),),
    next_command=LABEL_COMMAND.format("--dataset voc "),
)
LAYOUTS = {layout.name: layout for layout in (PETS, VOC)}
