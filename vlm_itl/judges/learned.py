"""A judge that learns, from the masks already bought, to predict the IoU of a mask nobody has
checked.

It asks a second model what it sees: a linear classifier on the features of a frozen ImageNet
encoder, trained on the bought masks. How far that opinion and a predicted mask agree says much
about the mask, as in reverse classification accuracy (Valindria et al., IEEE TMI 2017), where the
second model learns from the very mask that is judged.

1. A support vector regression maps agreement, shape and contrast to the IoU. It learns from
corrupted bought masks and
   from earlier networks' predictions, and never sees the softmax, which a drawn mask doesn't have.
2. The estimate is the mean of that and of the mask's soft IoU with network and second opinion taken
together; weights
   and offset move from there only as far as predictions made before their images were bought ask
   for it.

In a mask that is accepted, it disputes the pixels to which the second opinion gives another class.
"""

import math
from dataclasses import dataclass

import numpy as np

from vlm_itl.judges.base import Case, Example, Judge, Verdict
from vlm_itl.judges.corruptions import corrupt, fill_ignored
from vlm_itl.judges.mask_features import describe, errors, expected_iou
from weakseg.common import IGNORE, UserError, stable_seed
from weakseg.metrics import image_iou

SIDE = 128  # pixels a side of what is looked at, at least; masks of up to twice that are taken as they are
GRID = 16  # the second opinion sees GRID x GRID cells
SEEN_WEIGHT, UNSEEN_WEIGHT = 1.5, 5.0  # of a network's prediction, against 1 for a corrupted mask


@dataclass(frozen=True)
class Options:
    """What the second opinion stands on, and how much the judge learns from.

    encoder          frozen encoder, any name of `model.build_model`
    encoder_weights  'imagenet', 'none', or a file
    encoder_size     side in pixels of what the encoder sees, a multiple of 32
    ridge            weight decay of the second opinion
    folds            parts of the bought images; each is described by an opinion that learned from the others
    corruptions      corrupted masks to learn from, in all, but 2 to 16 an image
    """

    encoder: str = "efficientnet-lite0"
    encoder_weights: str = "imagenet"
    encoder_size: int = 256
    ridge: float = 0.02
    folds: int = 5
    corruptions: int = 1500


class FrozenEncoder:
    """Multi-scale features of a network that is never trained."""

    def __init__(self, name, weights, size):
        import torch

        from model import build_model

        if size < 32 or size % 32:
            raise UserError(f"vlm_itl.vlm_options.encoder_size {size}: must be a multiple of 32")
        with torch.random.fork_rng(devices=[]):  # the loop's own random stream stays where it is
            torch.manual_seed(0)
            model = build_model(name, 2, 1, weights).eval()
        self.encoder, self.mean, self.std, self.size = (
            model.unet.encoder,
            model.mean,
            model.std,
            size,
        )

    def __call__(self, image):
        """Return the features [F, GRID * GRID] float32 of an image [S, S, 3] uint8, each cell's
        position among them.
        """
        import torch
        import torch.nn.functional as F

        with torch.inference_mode():
            x = torch.tensor(image).permute(2, 0, 1)[None].float()
            x = F.interpolate(x, size=(self.size, self.size), mode="bilinear", align_corners=False)
            stages = self.encoder(((x - self.mean) / self.std).contiguous())[2:]
            y, x = torch.meshgrid(
                torch.linspace(-1, 1, GRID), torch.linspace(-1, 1, GRID), indexing="ij"
            )
            parts = [
                *(_to_grid(stage)[0] for stage in stages),
                torch.stack([x, y, x * y, x * x, y * y]),
            ]
            return torch.cat(parts).flatten(1).numpy()


def _to_grid(stage):
    import torch.nn.functional as F

    if stage.shape[-1] >= GRID:
        return F.adaptive_avg_pool2d(stage, GRID)
    return F.interpolate(stage, size=(GRID, GRID), mode="bilinear", align_corners=False)


def cell_shares(truth, classes):
    """Return the share of each class in each cell [C, GRID * GRID] float32 of a mask; ignored
    pixels are no share.
    """
    import torch
    import torch.nn.functional as F

    layers = torch.tensor(np.stack([truth == c for c in range(classes)])).float()
    return F.adaptive_avg_pool2d(layers, GRID).flatten(1).numpy()


class SecondOpinion:
    """Softmax regression from frozen features to the class shares of cells (L2-penalised,
    L-BFGS).
    """

    def __init__(self, features, shares, names, ridge, max_cells=30_000):
        """features: {name: [F, GRID * GRID]}; shares: {name: [C, GRID * GRID]}; names: those to
        learn from.
        """
        import torch
        import torch.nn.functional as F

        # Neighbouring cells tell much the same, so many images need not all be read in full.
        step = -(-len(names) * GRID**2 // max_cells)
        x = torch.from_numpy(
            np.hstack([features[name][:, i % step :: step] for i, name in enumerate(names)])
        )
        target = torch.from_numpy(
            np.hstack([shares[name][:, i % step :: step] for i, name in enumerate(names)])
        )
        self.mean, self.scale = x.mean(1, keepdim=True), x.std(1, keepdim=True) + 1e-6
        x = (x - self.mean) / self.scale
        self.weight = torch.zeros(len(target), len(x), requires_grad=True)
        self.bias = torch.zeros(len(target), 1, requires_grad=True)
        optimiser = torch.optim.LBFGS(
            [self.weight, self.bias], max_iter=20, line_search_fn="strong_wolfe"
        )

        def closure():
            optimiser.zero_grad()
            log = F.log_softmax(self.weight @ x + self.bias, 0)
            loss = (
                -(log * target).sum() / target.sum().clamp(min=1e-6)
                + ridge * self.weight.square().sum()
            )
            loss.backward()
            return loss

        optimiser.step(closure)

    def __call__(self, features, size):
        """Return class probabilities [C, size, size] float32."""
        import torch
        import torch.nn.functional as F

        with torch.inference_mode():
            x = (torch.from_numpy(features) - self.mean) / self.scale
            soft = (self.weight @ x + self.bias).softmax(0).view(1, -1, GRID, GRID)
            return F.interpolate(soft, size=(size, size), mode="bilinear", align_corners=False)[
                0
            ].numpy()


class Blend:
    """estimate = weights . (value - CENTRE) + offset, by ridge regression towards the plain mean of
    the values.
    """

    CENTRE = 0.6  # a typical IoU, so that weights and offset are told apart

    def __init__(self, values, ious, slope_penalty=1.0, offset_penalty=5.0):
        """values: [N, K] of N predictions, ious: [N]; N may be 0."""
        x = np.column_stack([values - self.CENTRE, np.ones(len(values))])
        plain = np.append(np.full(values.shape[1], 1 / values.shape[1]), self.CENTRE)
        penalty = np.diag(np.append(np.full(values.shape[1], slope_penalty), offset_penalty))
        self.solution = plain + np.linalg.solve(x.T @ x + penalty, x.T @ (ious - x @ plain))

    def __call__(self, values):
        """Return the estimate for values [K], or [N] for [N, K], in [0, 1]."""
        return np.clip((values - self.CENTRE) @ self.solution[:-1] + self.solution[-1], 0, 1)


class LearnedJudge(Judge):
    """Predicts the IoU of masks from bought labels alone; see the module's docstring."""

    Options = Options

    def __init__(self, iou_bar, seed, options=None):
        super().__init__(iou_bar, seed, options or Options())
        for name, least in (("folds", 2), ("ridge", 0)):
            value = getattr(self.options, name)
            if value < least:
                raise UserError(f"vlm_itl.vlm_options.{name} {value}: must be at least {least}")
        self.encoder = FrozenEncoder(
            self.options.encoder, self.options.encoder_weights, self.options.encoder_size
        )
        self.opinion = None

    def fit(self, examples):
        """Learn from a list of `Example`, in any order. Before it has two bought images, the judge
        abstains.
        """
        examples = [shrink(e) for e in examples if (e.truth != IGNORE).any()]
        examples.sort(key=lambda e: (e.case.id, e.case.mask_hash))
        images = {e.case.id: e for e in examples}
        self.opinion = None
        if len(images) < 2:
            return
        order = sorted(images, key=lambda name: stable_seed(self.seed, "fold", name))
        fold_of = {name: rank % self.options.folds for rank, name in enumerate(order)}
        opinions = self._learn_opinion(images, fold_of)
        rows = [*predictions(examples, opinions), *self._corruptions(images, opinions)]
        names, features, ious, weights = (np.array(column) for column in zip(*rows, strict=True))
        folds, held = np.array([fold_of[name] for name in names]), np.empty(len(rows))
        for fold in np.unique(folds):
            rest = folds != fold
            held[~rest] = regressor(features[rest], ious[rest], weights[rest]).predict(
                features[~rest]
            )
        self.regressor = regressor(features, ious, weights)
        self._learn_blend(examples, opinions, held, ious)

    def _learn_opinion(self, images, fold_of):
        """Fit the second opinion; return {id: opinion [C, S, S] of a model that has not learned
        from the image}.
        """
        features = {name: self.encoder(e.case.image) for name, e in images.items()}
        shares = {name: cell_shares(e.truth, len(e.case.class_names)) for name, e in images.items()}
        self.opinion = SecondOpinion(features, shares, images, self.options.ridge)
        opinions = {}
        for fold in sorted(set(fold_of.values())):
            rest = [name for name in images if fold_of[name] != fold]
            model = SecondOpinion(features, shares, rest, self.options.ridge)
            for name in images.keys() - set(rest):
                opinions[name] = model(features[name], len(images[name].truth))
        return opinions

    def _corruptions(self, images, opinions):
        """Yield (id, features, IoU, weight) of corrupted truths."""
        truths = {name: fill_ignored(e.truth) for name, e in images.items()}
        others = list(truths.values())
        for name, e in images.items():
            rng = np.random.default_rng(stable_seed(self.seed, "corrupt", name))
            for _ in range(int(np.clip(self.options.corruptions // len(images), 2, 16))):
                mask = corrupt(truths[name], opinions[name], others, rng)
                yield (
                    name,
                    describe(e.case.image, mask, opinions[name]),
                    image_iou(mask, e.truth),
                    1.0,
                )

    def _learn_blend(self, examples, opinions, held, ious):
        """Learn from unseen predictions how far to trust what, and how far the estimate strays."""
        rows = [
            (held[i], soft_iou(e.case, opinions[e.case.id]), ious[i])
            for i, e in enumerate(examples)
            if usable(e)
        ]
        rows = np.array(rows).reshape(-1, 3)
        self.blend = Blend(rows[:, :2], rows[:, 2])
        estimates = self.blend(rows[:, :2])
        relative = (estimates - rows[:, 2]) / headroom(estimates)
        # Where no unseen prediction tells, 0.35 is what photographs of pets gave.
        self.spread = float(np.sqrt((np.sum(relative**2) + 5 * 0.35**2) / (len(rows) + 5)))

    def judge(self, cases):
        """Return one `Verdict` for each `Case`; it abstains as long as it has learned nothing."""
        return [self._judge(case) for case in cases]

    def doubts(self, case):
        """Return where the second opinion shows another class, [S, S] bool."""
        if self.opinion is None:
            return np.zeros(case.mask.shape, bool)
        opinion = self.opinion(
            self.encoder(shrink(Example(case, case.mask, True)).case.image), len(case.mask)
        )
        return opinion.argmax(0) != case.mask

    def _judge(self, case):
        if self.opinion is None:
            return Verdict("abstain", failure="the learned judge needs at least two bought masks")
        case = shrink(Example(case, case.mask, True)).case
        opinion = self.opinion(self.encoder(case.image), len(case.mask))
        iou = self.regressor.predict(describe(case.image, case.mask, opinion)[None])[0]
        if case.probabilities is not None:
            iou = self.blend(np.array([iou, soft_iou(case, opinion)]))
        iou = float(np.clip(iou, 0, 1))
        distance = (iou - self.iou_bar) / (self.spread * headroom(iou))
        probability = 0.5 * (1 + math.erf(distance / math.sqrt(2)))
        if probability >= 0.5:
            return Verdict("accept", probability, iou)
        return Verdict("reject", probability, iou, errors(case.mask, together(case, opinion)))


def shrink(example):
    """Return an example thinned out to about `SIDE` pixels a side: memory grows with the number of
    bought images.
    """
    case, step = example.case, max(1, len(example.case.mask) // SIDE)
    thin = slice(None, None, step)
    probabilities = (
        None if case.probabilities is None else case.probabilities[:, thin, thin].astype(np.float16)
    )
    case = Case(
        case.id,
        np.ascontiguousarray(case.image[thin, thin]),
        np.ascontiguousarray(case.mask[thin, thin]),
        case.class_names,
        probabilities,
    )
    return Example(case, np.ascontiguousarray(example.truth[thin, thin]), example.unseen)


def headroom(iou):
    """Return what is missing to a perfect mask: the estimate's error is in proportion, as an IoU
    ends at 1.
    """
    return np.maximum(1 - iou, 0.05)


def together(case, opinion):
    """Return the mean [C, S, S] of network and second opinion; the opinion alone where there is no
    softmax.
    """
    return (
        opinion
        if case.probabilities is None
        else (case.probabilities.astype(np.float32) + opinion) / 2
    )


def soft_iou(case, opinion):
    """Return the soft IoU of the mask with network and second opinion taken together."""
    return expected_iou(case.mask, together(case, opinion))


def usable(example):
    """Whether an example shows how the softmax behaves on images that the network doesn't know."""
    return example.unseen and example.case.probabilities is not None


def predictions(examples, opinions):
    """Yield (id, features, IoU, weight) of the networks' predictions."""
    for case, truth, unseen in examples:
        weight = UNSEEN_WEIGHT if unseen else SEEN_WEIGHT
        yield (
            case.id,
            describe(case.image, case.mask, opinions[case.id]),
            image_iou(case.mask, truth),
            weight,
        )


def regressor(features, ious, weights):
    """Return a smooth regression fitted to features [N, D]: wide kernels, so that it extends beyond
    what it saw.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVR

    machine = SVR(C=0.3, epsilon=0.05, gamma=0.13 / features.shape[1])
    machine.random_state = 0  # no argument of SVR, which would draw it from NumPy's global stream
    model = make_pipeline(StandardScaler(), machine)
    return model.fit(features, ious, svr__sample_weight=weights)
