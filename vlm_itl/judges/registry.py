"""The judges of predicted masks, by name.

To add a judge, write a `judges.base.Judge` with its options, and a row in `JUDGES`.
"""

import importlib
from typing import TYPE_CHECKING

from vlm_itl.loop_sections import VlmItl
from vlm_itl.settings import build
from weakseg.common import choose

if TYPE_CHECKING:
    from vlm_itl.judges.base import Judge
    from vlm_itl.judges.baselines import TrueMasks

# Where the class of each `vlm_itl.vlm_handler` is. It is imported only when it is wanted: some need
# packages that others don't.
JUDGES = {
    "mock": "vlm_itl.judges.baselines:MockJudge",
    "accept_all": "vlm_itl.judges.baselines:AcceptAll",
    "confidence": "vlm_itl.judges.baselines:ConfidenceJudge",
    "learned": "vlm_itl.judges.learned:LearnedJudge",
    "openai": "vlm_itl.judges.openai_api:OpenAIJudge",
    "transformers": "vlm_itl.judges.local_vlm:TransformersJudge",
}


def make_judge(settings: VlmItl, seed: int, true_masks: "TrueMasks | None" = None) -> "Judge":
    """Return the judge that the config's section `vlm_itl` names.

    true_masks: what a simulated judge looks at; no other judge gets it
    Raises `UserError` for unknown names and options.
    """
    from vlm_itl.judges.baselines import MockJudge

    choose([settings.vlm_handler], list(JUDGES), "vlm_itl.vlm_handler")
    module, _, name = JUDGES[settings.vlm_handler].partition(":")
    judge_class: type[Judge] = getattr(importlib.import_module(module), name)
    options = build(judge_class.Options, settings.vlm_options, "vlm_itl.vlm_options.")
    judge = judge_class(settings.iou_bar, seed, options)
    if isinstance(judge, MockJudge):
        judge.true_masks = true_masks
    return judge
