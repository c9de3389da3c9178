"""The pseudo-masks of a run: by GrabCut beside the weak labels, or grown in the run's own folder."""

from pathlib import Path

from grabcut import pseudo_masks
from image_io import ResizedCache
from runs import mask_folder
from walks import GrownMasks, make_masks

GROWN = ("walk", "cams")  # terms whose masks are made in the run: before the first epoch, and after the warm-up


def masks_of_run(args, dataset, labels, train_ids, signals, weights):
    """Return {term: pseudo-masks by image id} for the terms with a weight; grown ones may still have to be made."""
    masks = {term: GrownMasks(mask_folder(args, term), args.img_size) for term in GROWN if weights.get(term)}
    if weights.get("grabcut"):
        masks["grabcut"] = grabcut_masks(args, dataset, labels, train_ids, signals)
    return masks


def grabcut_masks(args, dataset, labels, names, signals):
    """Return the GrabCut masks of the training images, computed once and kept beside the weak labels."""
    path = Path(args.weak_label_path)
    cache = ResizedCache(args.cache_dir, args.img_size)
    folder = path.parent / f"{path.stem}_grabcut"
    masks, outcomes = pseudo_masks(dataset, names, labels, signals, cache, folder, jobs=-1)
    print("GrabCut:", ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())))
    return masks


def grow_masks(args, dataset, labels, train_ids, signals, term, training):
    """Write the pseudo-masks of the term `walk` or `cams` into the run's folder, each process its share."""
    from tqdm import tqdm

    from model import build_model

    accelerator = training.accelerator
    model = accelerator.unwrap_model(training.model).eval()
    sizes = len(dataset.class_names), len(dataset.tag_names)
    encoder = build_model(args.encoder, *sizes, args.encoder_weights).to(accelerator.device).eval()
    names = train_ids[accelerator.process_index :: accelerator.num_processes]
    cache = ResizedCache(args.cache_dir, args.img_size)
    masks = make_masks(term, model, encoder, dataset, names, labels, signals, cache, mask_folder(args, term))
    silent = not accelerator.is_main_process
    for _ in tqdm(masks, desc=f"pseudo-masks ({term})", total=len(names), unit="img", disable=silent):
        pass
    accelerator.wait_for_everyone()
