"""The sections of a configuration that say what the loop buys and judges: keys and meanings."""

from typing import Any, Literal, get_args

from pydantic import Field

from vlm_itl.settings import Section
from weakseg.labels.annotators import MATCH, Options

Unit = Literal["percent", "images", "seconds", "hours"]
UNITS: tuple[str, ...] = get_args(Unit)


class ActiveLearning(Section):
    """Section `active_learning`: what is bought, in which order, and how much of it."""

    label: str = Field(
        default="mask",
        description=(
            "'mask', or any weak label: tags, points, scribbles, boxes, pixels, hybrid_points_boxes"
        ),
    )
    strategy: str = Field(default="entropy", description="the acquisition strategy")
    initial_strategy: Literal["random", "typiclust"] = Field(
        default="random", description="the strategy of the first purchase: 'random' or 'typiclust'"
    )
    initial_percentage: float = Field(
        default=5.0, gt=0, le=100, description="labelled before the first round, % of the pool"
    )
    increment_percentage: float = Field(
        default=5.0, gt=0, le=100, description="bought after each round, % of the pool"
    )
    max_percentage: float = Field(
        default=30.0, gt=0, le=100, description="the last budget, % of the pool"
    )
    budgets: tuple[float, ...] = Field(
        default=(), description="rising budgets, one a round, instead of the three percentages"
    )
    budget_unit: Unit = Field(
        default="percent", description="unit of `budgets`; seconds and hours are an annotator's"
    )
    first_round_from: str | None = Field(
        default=None,
        description=(
            "folder of a run whose first round this one takes over: same data, model, training, "
            "label and seed"
        ),
    )
    restart: Literal["cold", "warm"] = Field(
        default="cold",
        description="each round starts from the pretrained weights, or goes on: 'cold' or 'warm'",
    )
    ensemble_size: int = Field(
        default=1,
        ge=1,
        le=100,
        description=(
            "networks trained a round; only strategies and judges that compare them need more"
        ),
    )
    dropout_passes: int = Field(default=10, ge=2, le=1000, description="passes of MC dropout")
    points_per_object: int = Field(
        default=1, ge=1, le=1000, description="clicks on each object, for label: points"
    )
    background_points: int = Field(
        default=1,
        ge=MATCH,
        le=1000,
        description="clicks on the background, for label: points; -1: as many as on objects",
    )
    pixels_per_image: int = Field(
        default=Options.pixels_per_image,
        ge=1,
        le=10_000,
        description="random pixels of an image that are named, for label: pixels",
    )


class VlmItl(Section):
    """Section `vlm_itl`: who judges the predicted masks, and what follows from it."""

    enabled: bool | None = Field(
        default=None,
        description=(
            "True: for train_vlm_itl.py only; False: for train_active_learning.py only; left out: "
            "either script may run"
        ),
    )
    vlm_handler: str = Field(default="mock", description="the judge")
    vlm_options: dict[str, Any] = Field(default_factory=dict, description="options of that judge")
    iou_bar: float = Field(
        default=0.7, gt=0, le=1, description="IoU from which a mask is good enough"
    )
    calibration: Literal["platt", "isotonic", "shrunken", "none"] = Field(
        default="platt", description="of the judge's probability, on the audit"
    )
    risk: float | None = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="largest share of accepted masks under the bar; null: the judge's own decision",
    )
    control: Literal["ltt", "crc"] = Field(
        default="ltt",
        description="how the risk is controlled: Learn-then-Test, or conformal risk control",
    )
    confidence: float = Field(
        default=0.9, gt=0, lt=1, description="with which that share is kept (ltt)"
    )
    audit_share: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="share of each purchase that is drawn at random, for calibration",
    )
    reject_below: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="probability under which a mask goes to the human; between: it waits",
    )
    max_candidates: int | None = Field(
        default=None,
        ge=1,
        description="masks to be judged a round, at random; null: the whole pool",
    )
    mirror: bool = Field(
        default=True,
        description=(
            "judge the mean prediction for the image and its mirror image, and learn from that"
        ),
    )
    pairwise: bool = Field(
        default=False,
        description=(
            "first let the judge choose between this round's mask and the round before's, and "
            "judge the better"
        ),
    )
    pseudo_share: float = Field(
        default=0.5,
        gt=0,
        le=8,
        description="pseudo-labelled images that join each batch, for one bought",
    )
    pseudo_confidence: float = Field(
        default=0.8,
        ge=0,
        lt=1,
        description="pixels of a pseudo-label below this softmax value are ignored",
    )
    ignore_disputed: bool = Field(
        default=True,
        description="pixels of a pseudo-label whose class the judge disputes are ignored (learned)",
    )
    pseudo_augment: Literal["strong", "usual"] = Field(
        default="strong",
        description=(
            "of pseudo-labelled images: 'usual', as training.augment says, or with more colour, "
            "grey and blur, 'strong'"
        ),
    )
    examine: bool = Field(
        default=True,
        description=(
            "measure the judge against masks nobody bought: for the report only, in a simulation"
        ),
    )
