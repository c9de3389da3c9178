"""The same pictures are doubted alike in each layout that data sets have."""

import numpy as np
from made_folders import opened, write
from PIL import Image
from test_misplaced import drawn

IGNORE, COUNT, TESTED = 255, 20, 4
LAYOUTS = {  # photographs, masks, [a mask's number of background, object, ignored], class 1
    "folder": ("images", "masks", [0, 1, IGNORE]),
    "voc": ("JPEGImages", "SegmentationClass", [0, 1, IGNORE]),
    "pets": ("images", "annotations/trimaps", [2, 1, 3]),
}
NAMES = [f"{'drive' if number % 8 else 'walk'}_{number}" for number in range(COUNT)]


def padded(pixels):
    """Return a picture with bars above and below."""
    return np.pad(pixels, ((24, 24), (0, 0)))


TOLD = [  # words of the lines that are to come
    "is not read; if pictures of one patient",
    "1 of 4 test images are also trained on",
    "called as copies",
    "1 images to train on are copies of another one",
    "masks are copies of the mask",
    "EXIF turns 1 photographs",
    "bars at their edges",
    "worse than they do mirrored left to right",
]


def pictures():
    """Yield (name, photograph, mask, EXIF's turn) of pictures with faults of all kinds."""
    pairs = [drawn(number) for number in range(COUNT)]
    pairs[COUNT - 1] = pairs[3] = pairs[2]
    for number, (photograph, mask) in enumerate(pairs):
        name = f"{NAMES[2]}_aug" if number == COUNT - 2 else NAMES[number]
        mask = pairs[7][1] if number == 5 else mask
        mask = mask[:, ::-1]
        if number % 4 == 0:
            photograph, mask = padded(photograph), np.tile(mask.max(0), (144, 1))
        yield name, photograph, mask, 3 if number == 1 else 1


def laid_out(root, layout):
    """Write such pictures in a layout -> the folders of photographs and of masks."""
    photographs, masks, numbers = LAYOUTS[layout]
    values, names = np.array(numbers, np.uint8), []
    for name, photograph, mask, turn in pictures():
        for place, pixels in ((photographs, photograph), (masks, values[mask])):
            path = root / place / f"{name}.{'png' if place == masks else 'jpg'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            exif = Image.Exif()
            exif[0x112] = turn
            Image.fromarray(pixels).save(path, **({"exif": exif} if place == photographs else {}))
        names.append(name)
    write(root / "meta.csv", "file_name,patient", *(f"{n},{n[0]}" for n in names))
    train, test = names[:-TESTED], names[-TESTED:]
    if layout == "folder":
        write(root / "classes.txt", "background", "aeroplane")
        write(root / "trainval.txt", *train)
        write(root / "test.txt", *test)
    elif layout == "voc":
        write(root / "ImageSets/Segmentation/train.txt", *train)
        write(root / "ImageSets/Segmentation/val.txt", *test)
    else:
        write(root / "annotations/trainval.txt", *(f"{name} 1 1 1" for name in train))
        write(root / "annotations/test.txt", *(f"{name} 1 1 1" for name in test))
    return f"{photographs}/", f"{masks}/"


def test_what_is_wrong_of_pictures_and_masks_is_told_in_each_layout(tmp_path):
    told = {}
    for layout in LAYOUTS:
        root = tmp_path / layout
        places = laid_out(root, layout)
        data = opened(root)
        assert data.name == layout
        lines = [line for line in data.notes() if "masks shows" not in line]  # others of VOC
        for place, word in ((root, "root"), *zip(places, ("shown/", "masks/"), strict=True)):
            lines = [line.replace(str(place), word) for line in lines]
        told[layout] = lines
    assert told["folder"] == told["voc"] == told["pets"]
    assert len(told["pets"]) == len(TOLD)
    assert all(words in line for words, line in zip(TOLD, told["pets"], strict=True))
