"""What does the gated CRF loss cost? Time and memory, against the same loss with F.unfold.

    python benchmarks/gated_crf.py
    python benchmarks/gated_crf.py --sizes 128 --classes 21

Forward and backward on random images and predictions, on the CPU; the two ways must give the same
value and gradient. Times are processor time of one thread, which other programs on the machine
change little. Memory is the peak of a process of its own less what it held before: the inputs were
there, the gradient was not.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
import torch.nn.functional as F

from weakseg.common import commit
from weakseg.losses.base import Mean
from weakseg.losses.gated_crf import KERNELS, gated_crf_loss

MIB = 2**20


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[128, 256], help="pixels a side (default: 128 256)"
    )
    parser.add_argument("--classes", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--batch_size", type=int, default=8, help="images (default: %(default)s)")
    parser.add_argument("--radius", type=int, default=5, help="pixels (default: %(default)s)")
    parser.add_argument(
        "--repeats", type=int, default=3, help="medians over these (default: %(default)s)"
    )
    parser.add_argument(
        "--way", choices=WAYS, help=argparse.SUPPRESS
    )  # of the process that measures
    return parser.parse_args()


def unfolded_loss(probabilities, image, radius):
    """Compute the loss with all neighbourhoods laid out by F.unfold, differentiated by autograd."""
    batch, _, height, width = probabilities.shape
    (weight, xy, rgb), side = KERNELS[0], 2 * radius + 1

    def neighbours(values):
        return F.unfold(values, side, padding=radius).view(len(values), -1, side**2, height, width)

    with torch.no_grad():
        steps = torch.arange(-radius, radius + 1)
        near = weight * torch.exp(-(steps[:, None] ** 2 + steps**2) / (2 * xy**2)).flatten()
        near[side**2 // 2] = 0  # the pixel itself
        colour = image / 255
        apart = (neighbours(colour) - colour[:, :, None]).square_().sum(1)
        inside = neighbours(torch.ones(1, 1, height, width))[:, 0]
        kernel = apart.mul_(-0.5 / rgb**2).exp_().mul_(inside).mul_(near[:, None, None])
    together = (neighbours(probabilities) * probabilities[:, :, None]).sum(1)
    return Mean((kernel * (1 - together)).sum(), torch.tensor(batch * height * width))


WAYS = {
    "shifts": lambda probabilities, image, radius: gated_crf_loss(
        probabilities, image, radius=radius
    ),
    "unfold": unfolded_loss,
}


def inputs(args, size):
    """Return random predictions and images, patches of one colour with a little noise."""
    torch.manual_seed(0)
    logits = 3 * torch.randn(args.batch_size, args.classes, size, size)
    patches = 247 * torch.rand(args.batch_size, 3, size // 8, size // 8)
    image = F.interpolate(patches, size=(size, size)) + 8 * torch.rand(
        args.batch_size, 3, size, size
    )
    return logits.softmax(1).requires_grad_(), image.to(torch.uint8)


def step(way, probabilities, image, radius):
    """Run forward and backward -> (seconds, value, gradient)."""
    probabilities.grad = None
    began = time.process_time()
    value = WAYS[way](probabilities, image, radius).value
    value.backward()
    return time.process_time() - began, value.item(), probabilities.grad


def compare(args, size):
    """Return {way: median seconds}; both ways must agree."""
    probabilities, image = inputs(args, size)
    times = {way: [] for way in WAYS}
    for _ in range(args.repeats):
        steps = {way: step(way, probabilities, image, args.radius) for way in WAYS}
        for way, (seconds, _, _) in steps.items():
            times[way].append(seconds)
        (_, value, gradient), (_, peer, peer_gradient) = steps.values()
        torch.testing.assert_close(value, peer, rtol=1e-5, atol=0)
        torch.testing.assert_close(
            gradient, peer_gradient, rtol=1e-3, atol=1e-5 * peer_gradient.abs().max().item()
        )
    return {way: statistics.median(seconds) for way, seconds in times.items()}


def resident():
    """Return the largest resident memory of this process so far, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (MIB if sys.platform == "darwin" else 2**10)  # macOS counts bytes


def ballast():
    """Return memory that takes up all the process gave back: what comes next raises the peak."""
    held, peak = [], resident()
    while resident() == peak:
        held.append(bytearray(b"x") * (MIB // 4))
    return held


def measure(args, size):
    """Run one step in the way `args.way` -> MiB above what the process held before."""
    step(args.way, *inputs(args, 16), args.radius)
    probabilities, image = inputs(args, size)
    _held, before = ballast(), resident()
    step(args.way, probabilities, image, args.radius)
    return resident() - before


def in_process(args, size, way):
    """Measure in a process of its own: a peak never falls."""
    words = [
        "--way",
        way,
        "--sizes",
        size,
        "--classes",
        args.classes,
        "--batch_size",
        args.batch_size,
    ]
    words += ["--radius", args.radius]
    command = [sys.executable, __file__, *map(str, words)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


def main(args):
    torch.set_num_threads(1)
    if args.way:
        print(measure(args, args.sizes[0]))
        return
    print(
        f"batch {args.batch_size}, {args.classes} classes, radius {args.radius}, "
        f"forward + backward, one thread, medians of {args.repeats}, commit `{commit()}`:\n"
    )
    print(
        "| px | shifts, ms | unfold, ms | times faster "
        "| shifts, MiB | unfold, MiB | share of memory, % |"
    )
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for size in args.sizes:
        ours, theirs = compare(args, size).values()
        less, more = (in_process(args, size, way) for way in WAYS)
        print(
            f"| {size} | {1000 * ours:.0f} | {1000 * theirs:.0f} | {theirs / ours:.1f} "
            f"| {less:.0f} | {more:.0f} | {100 * less / more:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main(parse_args())
