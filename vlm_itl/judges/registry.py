"""The judges of predicted masks, by name: `HANDLERS`. To add one, write a `judges.base.Judge` and
name it here.
"""

import importlib

from vlm_itl.judges.baselines import AcceptAll, ConfidenceJudge, MockJudge
from vlm_itl.settings import build
from weakseg.common import choose

# name -> a class, or "module:class": the others import scikit-learn, openai or transformers.
HANDLERS = {
    "mock": MockJudge,
    "accept_all": AcceptAll,
    "confidence": ConfidenceJudge,
    "learned": "vlm_itl.judges.learned:LearnedJudge",
    "openai": "vlm_itl.judges.openai_api:OpenAIJudge",
    "transformers": "vlm_itl.judges.local_vlm:TransformersJudge",
}


def make_judge(settings, seed, examiner=None):
    """Return the judge that the config's section `vlm_itl` names; unknown names and options are a
    `UserError`.
    """
    choose([settings.vlm_handler], list(HANDLERS), "vlm_itl.vlm_handler")
    handler = HANDLERS[settings.vlm_handler]
    if isinstance(handler, str):
        module, _, name = handler.partition(":")
        handler = getattr(importlib.import_module(module), name)
    options = build(handler.Options, settings.vlm_options, "vlm_itl.vlm_options.")
    judge = handler(settings.iou_bar, seed, options)
    if getattr(judge, "needs_truth", False):
        judge.examiner = examiner
    return judge
