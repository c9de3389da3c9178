"""A judge that learns from bought masks to predict the IoU of masks that nobody has checked.

It asks a second model what it sees: a linear classifier on the features of a frozen ImageNet
encoder, trained on the bought masks. How far that opinion and a predicted mask agree says much
about the mask, as in reverse classification accuracy (Valindria et al., IEEE TMI 2017), where the
second model learns from the very mask that is judged.

1. A support vector regression maps agreement, shape and contrast to the IoU. It learns from
   corrupted bought masks and from earlier networks' predictions. It never sees the softmax, which a
   corrupted mask doesn't have.
2. The estimate is the mean of that and of the mask's soft IoU with network and second opinion taken
   together. It moves away from that mean only as far as predictions made before their images were
   bought ask for it.

In a mask that is accepted, the judge disputes the pixels to which the second opinion gives another
class.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pydantic import Field

from vlm_itl.judges.base import Case, Example, Judge, Verdict
from vlm_itl.judges.corruptions import corrupt, fill_ignored
from vlm_itl.judges.frozen_features import FrozenEncoder, class_shares
from vlm_itl.judges.iou_estimate import (
    Blend,
    fit_regression,
    headroom,
    held_out_estimates,
    relative_spread,
)
from vlm_itl.judges.mask_features import describe, likely_errors, soft_iou
from vlm_itl.judges.second_opinion import SecondOpinion, held_out_opinions
from vlm_itl.settings import Section
from weakseg.common import IGNORE, stable_seed
from weakseg.metrics import image_iou

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

# Pictures and masks are thinned out to at least so many pixels a side: memory grows with the number
# of bought images.
SIDE = 128
# What a network's prediction counts in the regression, against 1 for a corrupted mask.
SEEN_WEIGHT, UNSEEN_WEIGHT = 1.5, 5.0
FEWEST_CORRUPTIONS, MOST_CORRUPTIONS = 2, 16  # of one image's mask


class LearnedOptions(Section):
    """What the second opinion stands on, and how much the judge learns from."""

    encoder: str = Field(
        default="efficientnet-lite0", description="frozen encoder, any name of `build_model`"
    )
    encoder_weights: str = Field(default="imagenet", description="'imagenet', 'none', or a file")
    encoder_size: int = Field(
        default=256, ge=32, multiple_of=32, description="side in pixels of what the encoder sees"
    )
    ridge: float = Field(default=0.02, ge=0, description="weight decay of the second opinion")
    folds: int = Field(
        default=5,
        ge=2,
        description=(
            "parts of the bought images; each is described by a second opinion that learned from "
            "the others"
        ),
    )
    corruptions: int = Field(
        default=1500, description="corrupted masks to learn from, in all, but 2 to 16 an image"
    )


class DescribedMask(NamedTuple):
    """A mask whose IoU is known, as the regression learns from it.

    features: [D] float32, of `mask_features.describe`
    """

    image_id: str
    features: np.ndarray
    iou: float
    weight: float


class Learned(NamedTuple):
    """What `LearnedJudge.fit` learns."""

    opinion: SecondOpinion
    regression: "Pipeline"
    blend: Blend
    spread: float


class LearnedJudge(Judge[LearnedOptions]):
    """Predicts the IoU of masks from bought labels alone; see the module's docstring."""

    Options = LearnedOptions

    def __init__(self, iou_bar: float, seed: int, options: LearnedOptions) -> None:
        super().__init__(iou_bar, seed, options)
        self.encoder = FrozenEncoder(options.encoder, options.encoder_weights, options.encoder_size)
        self.learned: Learned | None = None

    def fit(self, examples: Iterable[Example]) -> None:
        """Learn from bought masks, in any order; with fewer than two images the judge abstains."""
        bought = [thin_example(e) for e in examples if (e.truth != IGNORE).any()]
        bought.sort(key=lambda e: (e.case.id, e.case.mask_hash))
        images = {e.case.id: e for e in bought}
        self.learned = None
        if len(images) < 2:
            return
        # 1. The second opinion. What it makes of a bought image is asked of classifiers that did
        #    not learn from it, as it will not have learned from the images to be judged.
        order = sorted(images, key=lambda name: stable_seed(self.seed, "fold", name))
        fold_of = {name: rank % self.options.folds for rank, name in enumerate(order)}
        features = {name: self.encoder(e.case.image) for name, e in images.items()}
        shares = {
            name: class_shares(e.truth, len(e.case.class_names)) for name, e in images.items()
        }
        size_of = {name: len(e.truth) for name, e in images.items()}
        ridge = self.options.ridge
        opinion = SecondOpinion(list(features.values()), list(shares.values()), ridge)
        opinions = held_out_opinions(features, shares, fold_of, size_of, ridge)
        # 2. The regression, from predicted and from corrupted masks.
        masks = [
            *described_predictions(bought, opinions),
            *self._described_corruptions(images, opinions),
        ]
        inputs = np.array([mask.features for mask in masks])
        ious = np.array([mask.iou for mask in masks])
        weights = np.array([mask.weight for mask in masks])
        regression = fit_regression(inputs, ious, weights)
        # 3. The blend, from predictions that show how a network does on images it doesn't know.
        folds = np.array([fold_of[mask.image_id] for mask in masks])
        estimates = held_out_estimates(inputs, ious, weights, folds)
        unseen = [i for i, e in enumerate(bought) if e.unseen and e.case.probabilities is not None]
        agreements = [
            soft_iou(case.mask, together(case, opinions[case.id]))
            for case in (bought[i].case for i in unseen)
        ]
        pairs = np.column_stack([estimates[unseen], agreements])
        blend = Blend(pairs, ious[unseen])
        spread = relative_spread(blend(pairs), ious[unseen])
        self.learned = Learned(opinion, regression, blend, spread)

    def _described_corruptions(
        self, images: Mapping[str, Example], opinions: Mapping[str, np.ndarray]
    ) -> Iterator[DescribedMask]:
        """Yield corrupted truths of all images."""
        truths = {name: fill_ignored(e.truth) for name, e in images.items()}
        others = list(truths.values())
        share = self.options.corruptions // len(images)
        for name, (case, truth, _) in images.items():
            rng = np.random.default_rng(stable_seed(self.seed, "corrupt", name))
            for _ in range(int(np.clip(share, FEWEST_CORRUPTIONS, MOST_CORRUPTIONS))):
                mask = corrupt(truths[name], opinions[name], others, rng)
                features = describe(case.image, mask, opinions[name])
                yield DescribedMask(name, features, image_iou(mask, truth), 1.0)

    def judge(self, cases: Sequence[Case]) -> list[Verdict]:
        """Return one `Verdict` for each `Case`; the judge abstains until it has learned."""
        if self.learned is None:
            failure = "the learned judge needs at least two bought masks"
            return [Verdict("abstain", failure=failure) for _ in cases]
        return [self._judge(thin_case(case), self.learned) for case in cases]

    def _judge(self, case: Case, learned: Learned) -> Verdict:
        opinion = learned.opinion(self.encoder(case.image), len(case.mask))
        features = describe(case.image, case.mask, opinion)
        estimate = learned.regression.predict(features[None])
        if case.probabilities is not None:
            agreement = soft_iou(case.mask, together(case, opinion))
            estimate = learned.blend(np.array([[estimate[0], agreement]]))
        iou = float(np.clip(estimate[0], 0, 1))
        # The estimate's error is normal, with a spread in proportion to the headroom.
        distance = (iou - self.iou_bar) / (learned.spread * headroom(iou))
        probability = 0.5 * (1 + math.erf(distance / math.sqrt(2)))
        if probability >= 0.5:
            return Verdict("accept", probability, iou)
        return Verdict(
            "reject", probability, iou, likely_errors(case.mask, together(case, opinion))
        )

    def doubts(self, case: Case) -> np.ndarray:
        """Return where the second opinion shows another class than the mask, [S, S] bool."""
        if self.learned is None:
            return np.zeros(case.mask.shape, bool)
        features = self.encoder(thin_case(case).image)
        return self.learned.opinion(features, len(case.mask)).argmax(0) != case.mask


def described_predictions(
    examples: Iterable[Example], opinions: Mapping[str, np.ndarray]
) -> Iterator[DescribedMask]:
    """Yield the networks' predictions, in order; opinions: [C, S, S] by image."""
    for case, truth, unseen in examples:
        features = describe(case.image, case.mask, opinions[case.id])
        weight = UNSEEN_WEIGHT if unseen else SEEN_WEIGHT
        yield DescribedMask(case.id, features, image_iou(case.mask, truth), weight)


def together(case: Case, opinion: np.ndarray) -> np.ndarray:
    """Return the mean [C, S, S] of network and second opinion; without a softmax the opinion."""
    if case.probabilities is None:
        return opinion
    return (case.probabilities.astype(np.float32) + opinion) / 2


def thin_case(case: Case) -> Case:
    """Return a case thinned out to `SIDE` to 2 * `SIDE` pixels a side, without other members."""
    every = slice(None, None, max(1, len(case.mask) // SIDE))
    probabilities = case.probabilities
    if probabilities is not None:
        probabilities = probabilities[:, every, every].astype(np.float16)
    return Case(
        case.id,
        np.ascontiguousarray(case.image[every, every]),
        np.ascontiguousarray(case.mask[every, every]),
        case.class_names,
        probabilities,
    )


def thin_example(example: Example) -> Example:
    """Return an example thinned out like its case."""
    every = slice(None, None, max(1, len(example.truth) // SIDE))
    truth = np.ascontiguousarray(example.truth[every, every])
    return Example(thin_case(example.case), truth, example.unseen)
