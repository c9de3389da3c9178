"""Reading photographs and masks from the wild, and an on-disk cache of their resized arrays."""

import json
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from common import UserError, atomic_path, stable_seed

MAX_PIXELS = 64_000_000
ROTATED = (5, 6, 7, 8)  # EXIF orientations that swap width and height


def open_image(path, pixels=True):
    """Open an image by its content, whatever its suffix says; what can't be read is a `UserError` naming the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # MAX_PIXELS is checked here, and broken EXIF blocks are common
            image = Image.open(path)
            if image.width * image.height > MAX_PIXELS:
                raise UserError(
                    f"{path}: {image.width}x{image.height} is over the limit of {MAX_PIXELS // 10**6} megapixels; "
                    "write a smaller copy with download_data.py --from_dir ... --max_side 1024"
                )
            if pixels:
                image.load()
            return image
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; run python download_data.py, or mend the list that names it") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path}: refused, {error}") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: not a readable image ({error}); replace or remove it") from error


def image_size(path):
    """Return (width, height) as the image is meant to be seen, from the header alone."""
    with open_image(path, pixels=False) as image:
        width, height = image.size
        return (height, width) if image.getexif().get(0x0112) in ROTATED else (width, height)


def read_image(path):
    """Read a photograph upright as an RGB `PIL.Image`, from any mode PIL knows (grey, CMYK, 16 bit, palette, alpha)."""
    image = ImageOps.exif_transpose(open_image(path))
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        values = np.asarray(image, np.float32)
        image = Image.fromarray((values * (255 / max(255.0, float(values.max())))).clip(0, 255).astype(np.uint8))
    return image.convert("RGB")


def read_mask(path):
    """Read a mask of class numbers -> [H, W] uint8; a colour picture or numbers above 255 are refused."""
    image = open_image(path)
    values = np.asarray(image)
    if values.ndim != 2 or values.max(initial=0) > 255 or values.min(initial=0) < 0 or image.mode == "F":
        raise UserError(f"{path}: a mask must be an 8-bit grey or palette image of class numbers, not {image.mode}")
    return values.astype(np.uint8)


class ResizedCache:
    """Images and masks as square uint8 arrays, one .npy file each, made on first use.

    A file's name holds the source's path, size and time, so a changed source is read anew; files appear by rename, so any
    number of processes may share the folder.
    """

    def __init__(self, folder, size):
        self.folder, self.size = Path(folder) / str(size), size

    def image(self, path):
        """Return [3, size, size] uint8, resized with antialiasing."""
        return self._get(path, "image", lambda: self._resize(read_image(path), Image.Resampling.BILINEAR))

    def mask(self, path):
        """Return [size, size] uint8, the file's own numbers, nearest neighbour."""
        return self._get(path, "mask", lambda: self._resize(Image.fromarray(read_mask(path)), Image.Resampling.NEAREST))

    def _resize(self, image, resample):
        array = np.asarray(image.resize((self.size, self.size), resample))
        return np.ascontiguousarray(array.transpose(2, 0, 1)) if array.ndim == 3 else array

    def _get(self, path, kind, make):
        stored = self.folder / f"{source_key(path)}.{kind}.npy"
        try:
            return np.load(stored)
        except FileNotFoundError:
            array = make()
        except (ValueError, EOFError):  # a damaged cache file is made anew
            array = make()
        with atomic_path(stored) as temporary:
            np.save(temporary, array)
        return array


def source_key(path):
    """Return a name that changes when the file does."""
    try:
        stat = Path(path).stat()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); run python download_data.py") from error
    return f"{stable_seed(Path(path).resolve(), stat.st_size, stat.st_mtime_ns):016x}"


def cached_classes(paths, cache_dir):
    """Return {id: class numbers in its mask}, read once and remembered in one file of the cache folder.

    paths: {id: mask path}. A mask that changed is read anew.
    """
    from tqdm import tqdm

    keys = {name: source_key(path) for name, path in paths.items()}
    root = stable_seed(*sorted({str(Path(path).resolve().parent) for path in paths.values()}))
    store = Path(cache_dir) / f"classes-{root:016x}.json"
    try:
        known = json.loads(store.read_text())
    except (FileNotFoundError, ValueError):
        known = {}
    missing = [name for name, key in keys.items() if key not in known]
    for name in tqdm(missing, desc="reading masks for their classes", disable=len(missing) < 200):
        known[keys[name]] = np.flatnonzero(np.bincount(read_mask(paths[name]).ravel(), minlength=256)).tolist()
    if missing:
        with atomic_path(store) as temporary:
            temporary.write_text(json.dumps(known))
    return {name: known[key] for name, key in keys.items()}
