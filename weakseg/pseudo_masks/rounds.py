"""The pseudo-masks of a run: by GrabCut beside the weak labels, or grown in the run's own
folder.
"""

import os
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from weakseg.common import IGNORE, UserError, atomic_path, remove
from weakseg.data.cache import ResizedCache
from weakseg.data.image_io import read_mask
from weakseg.labels.targets import tag_vector
from weakseg.pseudo_masks.from_labels import evidence, first_mask, from_predictions, predictions
from weakseg.pseudo_masks.grabcut_files import pseudo_masks

GROWN = ("walk", "cams")  # terms whose masks are made in the run


def masks_of_run(args, dataset, labels, train_ids, signals, weights, accelerator):
    """Return {term: pseudo-masks by image id} for the terms with a weight; grown ones may still
    have to be made.
    """
    masks = {}
    for term in GROWN:
        if weights.get(term):
            masks[term] = GrownMasks(
                [mask_folder(args, term, number) for number in (1, 2)], args.img_size
            )
    if weights.get("grabcut"):
        masks["grabcut"] = grabcut_masks(args, dataset, labels, train_ids, signals, accelerator)
    return masks


def grabcut_masks(args, dataset, labels, names, signals, accelerator):
    """Return the GrabCut masks of the training images, computed once and kept beside the weak
    labels.

    Of several processes each cuts its share, and then finds those of the others.
    """
    path = Path(args.weak_label_path)
    cache = ResizedCache(args.cache_dir, args.img_size, args.cache_limit)
    folder = path.parent / f"{path.stem}_grabcut"
    cut = partial(pseudo_masks, dataset, labels=labels, signals=signals, cache=cache, folder=folder)
    if accelerator.num_processes > 1:
        jobs = max(1, os.cpu_count() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))
        cut(names[accelerator.process_index :: accelerator.num_processes], jobs=jobs)
        accelerator.wait_for_everyone()
    masks, outcomes = cut(names, jobs=-1)
    if accelerator.is_main_process:
        print(
            "GrabCut:",
            ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())),
        )
    return masks


def plan_rounds(args, weights):
    """Return when a run makes its grown masks: {epoch it comes after: [(term, number of the
    round)]}, 0 before all.

    The second round, from the network's own predictions, comes after a share --second_round of the
    epochs, and not at all where none would follow.
    """
    plan = {}
    for term in GROWN:
        if weights.get(term):
            second = max(round(args.second_round * args.epochs), 1)
            plan.setdefault(0, []).append((term, 1))
            if second < args.epochs:
                plan.setdefault(second, []).append((term, 2))
    return plan


def settle_rounds(args, plan, done):
    """Make the folders fit a run that goes on after `done` epochs: later rounds' go, earlier
    rounds' must be there.
    """
    for epoch, rounds in plan.items():
        for term, number in rounds:
            folder = mask_folder(args, term, number)
            if epoch > done:
                remove(folder)
            elif not folder.is_dir():
                raise UserError(
                    f"{folder}: gone since the run made it; start the run anew with --overwrite"
                )


def grow_masks(args, dataset, labels, train_ids, signals, new_encoder, training, term, number):
    """Write the pseudo-masks of the term `walk` or `cams` into the run's folder, each process its
    share.

    new_encoder: a function () -> the network as ImageNet trained it, whose features compare cells
    number: 1 for the masks that grow from the annotations, 2 for those from the network's own
    predictions
    """
    from tqdm import tqdm

    from weakseg.pseudo_masks.cam import MOST_IMAGES, tag_maps_of

    accelerator = training.accelerator
    cache = ResizedCache(args.cache_dir, args.img_size, args.cache_limit)
    before = GrownMasks([mask_folder(args, term, 1)], args.img_size)
    model = accelerator.unwrap_model(training.model)

    def read(name):
        return torch.from_numpy(cache.image(dataset.image_path(name))).to(accelerator.device)

    if number == 1:
        encoder = new_encoder().to(accelerator.device).eval()
        some = train_ids[:: -(-len(train_ids) // MOST_IMAGES)] if term == "cams" else []
        says = [
            torch.from_numpy(tag_vector(labels[name]["tags"], dataset.tag_names)) for name in some
        ]
        tag_maps = tag_maps_of(encoder, map(read, some), torch.stack(says)) if some else None
    elif training.teacher:
        model = training.teacher.average.module
    model.eval()

    def make(name):
        image = read(name)
        if number == 1:
            return first_mask(term, encoder, tag_maps, dataset, signals, labels[name], image)
        known = evidence(labels[name], signals, term, dataset, args.img_size)
        return from_predictions(predictions(model, image), image, before[name], known)

    names = train_ids[accelerator.process_index :: accelerator.num_processes]
    written = write_masks(make, names, mask_folder(args, term, number))
    what, silent = f"pseudo-masks ({term}, round {number})", not accelerator.is_main_process
    for _ in tqdm(written, what, len(names), unit="img", disable=silent):
        pass
    accelerator.wait_for_everyone()


def mask_folder(args, term, number):
    """Return the folder of the pseudo-masks that a run makes for one of its terms, in round 1 or
    2.
    """
    return Path(args.checkpoint_dir) / args.run_name / "pseudo_masks" / term / str(number)


def write_masks(make, names, folder):
    """Write the mask make(id), [S, S] uint8, of each image to `mask_path(folder, id)`, and yield
    the id.
    """
    for name in names:
        path = mask_path(folder, name)
        with atomic_path(path) as temporary:
            Image.fromarray(make(name)).save(temporary, format="PNG")
        yield name


def mask_path(folder, name):
    """Return where the mask of an image lies; an id may hold slashes."""
    return folder / f"{name}.png"


class GrownMasks:
    """The masks of a run, [S, S] uint8 by image id, of its last round; nothing is labelled before
    they are made.

    folders: those of the rounds, the first first; each is there when its masks are made
    """

    def __init__(self, folders, size):
        self.folders, self.size = folders, size

    def __getitem__(self, name):
        made = [folder for folder in self.folders if folder.exists()]
        if not made:
            return np.full((self.size, self.size), IGNORE, np.uint8)
        path = mask_path(made[-1], name)
        if not path.exists():
            raise UserError(
                f"{path}: gone since the run made it; start the run anew with --overwrite"
            )
        return read_mask(path)
