"""Does evaluation need more memory for more images? Peak memory of the Trainer's evaluation.

    python benchmarks/evaluation_memory.py
    python benchmarks/evaluation_memory.py --images 50 200 --model efficientnet-lite0

Evaluates a randomly initialised network on drawn images, listed as often as needed, in one process
each: once by `vlm_itl.training.trainer`, which turns every batch into a confusion matrix, and once
by the Trainer's default, which keeps the logits of all images until the end. What is given is the
peak of the process less what it held before the evaluation. The kept logits alone are 4 C S^2 bytes
an image.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from weakseg.common import commit

WAYS = ("streaming", "logits kept")


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--images", type=int, nargs="+", default=[50, 200, 800], help="images (default: 50 200 800)"
    )
    parser.add_argument(
        "--img_size", type=int, default=128, help="pixels a side (default: %(default)s)"
    )
    parser.add_argument(
        "--classes", type=int, default=21, help="classes of the network (default: %(default)s)"
    )
    parser.add_argument(
        "--model", default="segformer-tiny", help="as model.name (default: %(default)s)"
    )
    parser.add_argument("--data_dir", help=argparse.SUPPRESS)  # of the process that measures
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    return parser.parse_args()


def resident():
    """Return the largest resident memory of this process so far, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)  # macOS counts bytes


def measure(args):
    """Evaluate `args.images[0]` images in the way `args.way` -> MiB above what one batch needs."""
    from vlm_itl.sections import Data, Model, Training
    from vlm_itl.training.data import image_table, open_images
    from vlm_itl.training.segformer import build_network
    from vlm_itl.training.trainer import make_criterion, make_trainer
    from weakseg.training.recipes import LossOptions

    data = Data(
        source=args.data_dir,
        image_size=args.img_size,
        cache_dir=str(Path(args.data_dir) / "cache"),
    )
    dataset = open_images(data)
    names = (dataset.ids("train") * args.images[0])[: args.images[0]]
    model = Model(name=args.model, weights="none")
    network = build_network(model, [str(number) for number in range(args.classes)], 2)
    trainer = make_trainer(
        network,
        make_criterion(("full",), LossOptions(tuple(dataset.tag_class))),
        Training(device="cpu"),
        Path(args.data_dir) / "trainer",
        0,
        args.classes,
    )
    if args.way == "logits kept":
        keep_logits(trainer)
    trainer.evaluate(image_table(dataset, names[:32], data, masks=True))
    before = resident()
    trainer.evaluate(image_table(dataset, names, data, masks=True))
    return resident() - before


def keep_logits(trainer):
    """Let a trainer evaluate as the Trainer does by default: it gathers all logits first."""
    from vlm_itl.training.trainer import SegmentationTrainer

    class Keeping(SegmentationTrainer):
        def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
            import torch

            with torch.no_grad():
                return None, model(inputs["image"])["seg"], inputs["mask"]

    trainer.__class__, trainer.args.batch_eval_metrics = Keeping, False
    trainer.compute_metrics = lambda outputs: {
        "accuracy": float((outputs.predictions.argmax(1) == outputs.label_ids).mean())
    }


def main(args):
    if args.way:
        print(measure(args))
        return
    print(
        f"{args.model}, {args.img_size} px, {args.classes} classes, batches of 16, "
        f"commit `{commit()}`:\n"
    )
    print(
        "| images | streaming, MiB | logits kept, MiB | logits alone, MiB |\n"
        "| ---: | ---: | ---: | ---: |"
    )
    with tempfile.TemporaryDirectory() as folder:
        from weakseg.data.synthetic import draw_shapes

        draw_shapes(folder, trainval=40, test=4, size=args.img_size, seed=0)
        for count in args.images:
            peaks = [in_process(args, folder, count, way) for way in WAYS]
            alone = 4 * args.classes * args.img_size**2 * count / 2**20
            print(f"| {count} | {peaks[0]:.0f} | {peaks[1]:.0f} | {alone:.0f} |", flush=True)


def in_process(args, folder, count, way):
    """Measure in a process of its own: a peak never falls."""
    words = ["--data_dir", folder, "--way", way, "--images", count, "--img_size", args.img_size]
    words += ["--classes", args.classes, "--model", args.model]
    command = [sys.executable, __file__, *map(str, words)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    main(parse_args())
