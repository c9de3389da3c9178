"""Which loss: one for each signal, one for each term that a recipe adds, and how they are summed.

Each loss returns a `Mean`: the sum over what is labelled, and how much that is. Keeping sum and
count apart lets one place divide: over the batch, over all processes, or over a whole validation
set. A batch without labels has count 0 and a sum of zero that still carries a gradient.

To add a signal, write its loss here and name it in `SIGNAL_LOSSES`; a recipe's term in
`ADDED_LOSSES`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F

from weakseg.common import IGNORE
from weakseg.losses.base import BaseCriterion, Mean, at_least_single
from weakseg.losses.gated_crf import gated_crf_loss
from weakseg.losses.mean_teacher import allowed_classes, self_label_loss
from weakseg.losses.partial_cross_entropy import partial_cross_entropy
from weakseg.losses.projection import box_projection_loss
from weakseg.losses.tags import cam_pseudo_mask, tag_loss
from weakseg.losses.weighting import UncertaintyWeighting
from weakseg.training.recipes import ADDED_TERMS, AddedOptions, LossOptions

Outputs = Mapping[str, torch.Tensor]  # of the network: see `weakseg.learners.unet`
SignalLoss = Callable[[Outputs, torch.Tensor, LossOptions], dict[str, Mean]]


# ---- the losses of signals


def mask_loss(name: str) -> SignalLoss:
    """Return the loss of a signal whose target is a mask, sparse or dense."""

    def loss(outputs: Outputs, target: torch.Tensor, options: LossOptions) -> dict[str, Mean]:
        return {name: partial_cross_entropy(outputs["seg"], target)}

    return loss


def boxes_loss(outputs: Outputs, target: torch.Tensor, options: LossOptions) -> dict[str, Mean]:
    """Cross-entropy on the box as a mask; with open boxes only on the background outside.

    Open boxes say nothing where the data set has no background.
    """
    if options.open_boxes:
        target = target.masked_fill(target >= int(options.has_background), IGNORE)
    return {"boxes": partial_cross_entropy(outputs["seg"], target)}


def tags_loss(outputs: Outputs, target: torch.Tensor, options: LossOptions) -> dict[str, Mean]:
    """Classification of the tags, and cross-entropy on the pseudo-mask of their CAMs."""
    tag_class = target.new_tensor(options.tag_class).long()
    mask = cam_pseudo_mask(
        outputs["cam"],
        target,
        tag_class,
        (outputs["seg"].shape[2], outputs["seg"].shape[3]),
        options.cam_foreground,
        options.cam_background,
        options.has_background,
    )
    return {
        "tags": tag_loss(outputs["tags"], target),
        "cam": partial_cross_entropy(outputs["seg"], mask),
    }


# By the names of `weakseg.labels.signals.SIGNALS`.
SIGNAL_LOSSES: dict[str, SignalLoss] = {
    "full": mask_loss("full"),
    "tags": tags_loss,
    "points": mask_loss("points"),
    "scribbles": mask_loss("scribbles"),
    "boxes": boxes_loss,
    "outlines": mask_loss("outlines"),
    "pixels": mask_loss("pixels"),
}


# ---- the losses that a recipe adds


@dataclass(frozen=True)
class Step:
    """What the added losses of one training step see.

    outputs   of the network
    batch     {"image", "targets": {signal: target}, "extras": {name: tensor}}
    teacher   softmax [B, C, H, W] of the mean teacher; None where no term needs it
    """

    outputs: Outputs
    batch: Mapping[str, Any]
    teacher: torch.Tensor | None
    labels: LossOptions
    options: AddedOptions

    @cached_property
    def probabilities(self) -> torch.Tensor:
        """The network's softmax [B, C, H, W] in at least single precision."""
        return at_least_single(self.outputs["seg"]).softmax(1)

    @cached_property
    def unlabelled(self) -> torch.Tensor:
        """Pixels [B, H, W] bool without an annotation; open boxes annotate what is outside."""
        free = torch.ones_like(self.outputs["seg"][:, 0], dtype=torch.bool)
        for signal, target in self.batch["targets"].items():
            if signal == "boxes" and self.labels.open_boxes:
                free &= target >= int(self.labels.has_background)
            elif signal != "tags":
                free &= target == IGNORE
        return free

    def without_absent_classes(self, probabilities: torch.Tensor) -> torch.Tensor:
        """Give the share of classes that the tags exclude to the others, [B, C, H, W].

        Without tags among the targets the probabilities stay as they are.
        """
        if "tags" not in self.batch["targets"]:
            return probabilities
        tags = self.batch["targets"]["tags"]
        tag_class = tags.new_tensor(self.labels.tag_class).long()
        allowed = allowed_classes(tags, tag_class, probabilities.shape[1])
        kept = probabilities * allowed[:, :, None, None]
        return kept / kept.sum(1, keepdim=True).clamp(min=1e-6)


AddedLoss = Callable[[Step], Mean]


def pseudo_mask_loss(name: str) -> AddedLoss:
    """Return the loss of a pseudo-mask among the extras: cross-entropy where it is sure."""

    def loss(step: Step) -> Mean:
        return partial_cross_entropy(step.outputs["seg"], step.batch["extras"][name])

    return loss


def probe_loss(step: Step) -> Mean:
    """Cross-entropy to the chances that a probe gave, in cells of several pixels."""
    chances = step.batch["extras"]["probe"]
    logits = F.adaptive_avg_pool2d(at_least_single(step.outputs["seg"]), chances.shape[-2:])
    return Mean(-(chances * logits.log_softmax(1)).sum(), chances.sum())


def crf_loss(step: Step) -> Mean:
    """Gated CRF at half the size: a quarter of the work, on twice the distance."""
    image = F.avg_pool2d(step.batch["image"].float(), 2)
    return gated_crf_loss(F.avg_pool2d(step.probabilities, 2), image)


def projection_loss(step: Step) -> Mean:
    """Each row and column of an object's box shows the object somewhere."""
    return box_projection_loss(step.probabilities, step.batch["extras"]["objects"])


def teacher_loss(step: Step) -> Mean:
    """Cross-entropy to the mean teacher's soft labels where nobody labelled and it is sure."""
    assert step.teacher is not None
    labels = step.without_absent_classes(step.teacher)
    return self_label_loss(
        step.outputs["seg"], labels, step.unlabelled, step.options.teacher_confidence
    )


# By the names of `weakseg.training.recipes.ADDED_TERMS`.
ADDED_LOSSES: dict[str, AddedLoss] = {
    "grabcut": pseudo_mask_loss("grabcut"),
    "walk": pseudo_mask_loss("walk"),
    "cams": pseudo_mask_loss("cams"),
    "probe": probe_loss,
    "crf": crf_loss,
    "projection": projection_loss,
    "teacher": teacher_loss,
}


# ---- their sum


class Criterion(BaseCriterion):
    """The terms of all chosen signals and of the recipe, and the one line that sums them.

    weights    {term: float}; a term of weight 0 is left out
    weighting  'fixed', or 'uncertainty': the weights of the signals' terms are learned as well
    cam_scale  pseudo-masks come from images enlarged this much: at 128 px the activation maps then
               have 12 x 12 cells instead of 8 x 8
    """

    cam_scale = 1.5

    def __init__(
        self,
        signals: Sequence[str],
        weights: Mapping[str, float],
        options: LossOptions,
        weighting: str = "fixed",
        added: AddedOptions | None = None,
    ) -> None:
        super().__init__()
        self.signals, self.options = tuple(signals), options
        self.added_options = added or AddedOptions()
        self.weights = {term: weight for term, weight in weights.items() if weight > 0}
        self.added = [term for term in self.weights if term in ADDED_TERMS]
        own = [term for term in self.weights if term not in ADDED_TERMS]
        self.learned = UncertaintyWeighting(own) if weighting == "uncertainty" else None

    @property
    def blind(self) -> bool:
        """Whether tags are the only labels: no loss looks at pixels before there are CAMs."""
        return self.signals == ("tags",)

    def forward(
        self, outputs: Outputs, targets: Mapping[str, torch.Tensor], cam: bool = True
    ) -> dict[str, Mean]:
        """Return {term: Mean} of the signals; the term `cam` only while `cam` is true.

        In evaluation mode boxes are never open: by the outside of boxes alone, a network that sees
        no object would be the best.
        """
        options = self.options if self.training else replace(self.options, open_boxes=False)
        terms: dict[str, Mean] = {}
        for signal in self.signals:
            terms |= SIGNAL_LOSSES[signal](outputs, targets[signal], options)
        return {
            name: mean
            for name, mean in terms.items()
            if name in self.weights and (cam or name != "cam")
        }

    def extras(
        self,
        outputs: Outputs,
        batch: Mapping[str, Any],
        teacher: torch.Tensor | None,
        progress: float,
    ) -> dict[str, Mean]:
        """Return {term: Mean} of what the recipe adds.

        teacher: softmax [B, C, H, W]; progress: share of the training that is done, in [0, 1]. All
        terms grow with it but those that are labels.
        """
        step = Step(outputs, batch, teacher, self.options, self.added_options)
        terms = {}
        for name in self.added:
            mean = ADDED_LOSSES[name](step)
            growth = self.added_options.growth(name, progress)
            terms[name] = Mean(mean.total * growth, mean.count)
        return terms

    def of_masks(self, outputs: Outputs, mask: torch.Tensor) -> Mean:
        """Return the cross-entropy on ground truth [B, H, W], which validation looks at."""
        return partial_cross_entropy(outputs["seg"], mask)

    def combine(
        self,
        values: Mapping[str, torch.Tensor],
        outputs: Outputs,
        labelled: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Return the loss to minimise, a scalar with a gradient even where nothing is labelled.

        labelled: {term: whether the batch has labels for it}; by default a term of value 0 has none
        """
        values = dict(values)
        if self.learned:
            for name in values.keys() & self.learned.log_variance.keys():
                moves = None if labelled is None else labelled[name]
                values[name] = self.learned(name, values[name], moves)
        nothing = 0 * outputs["seg"].sum()
        return sum(
            (w * values[term] for term, w in self.weights.items() if term in values), nothing
        )

    def weighted(self, values: Mapping[str, float]) -> float:
        """Return the weighted sum of plain numbers, without learned weights.

        It can be compared between epochs.
        """
        return sum(self.weights[name] * value for name, value in values.items())
