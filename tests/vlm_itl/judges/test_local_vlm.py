"""The judge with a real, tiny, randomly initialised LLaVA, which the test builds offline."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from vlm_itl.judges.base import Case
from vlm_itl.judges.local_vlm import TransformersJudge, TransformersOptions
from vlm_itl.judges.prompts import single_question
from vlm_itl.settings import build
from weakseg.common import UserError

TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def tokenizer(alphabet=None):
    """A tokenizer of single bytes, which has no token but these."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet()) if alphabet is None else alphabet
    vocabulary = {
        token: index
        for index, token in enumerate(["<unk>", "<s>", "</s>", "<pad>", "<image>", *letters])
    }
    bytes_only = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_only.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=bytes_only,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=["<image>"],
    )


def save_llava(folder, template=TEMPLATE, alphabet=None):
    """Save a LLaVA of some 50,000 parameters and its processor to `folder`."""
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokens = tokenizer(alphabet)
    size = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    vision = CLIPVisionConfig(image_size=16, patch_size=8, projection_dim=16, **size)
    text = LlamaConfig(
        vocab_size=len(tokens),
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=3,
        **size,
    )
    image_token = tokens.convert_tokens_to_ids("<image>")
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=image_token,
        vision_feature_layer=-1,
    )
    model = LlavaForConditionalGeneration(config)
    # Untrained weights are so small that all words are equally likely: larger ones make the
    # pictures matter.
    torch.nn.init.normal_(model.lm_head.weight, std=2)
    torch.nn.init.normal_(model.model.multi_modal_projector.linear_2.weight, std=2)
    model.save_pretrained(folder)
    pictures = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    LlavaProcessor(
        pictures,
        tokens,
        patch_size=8,
        vision_feature_select_strategy="default",
        chat_template=template,
        image_token="<image>",
        num_additional_image_tokens=1,
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    return save_llava(tmp_path_factory.mktemp("llava"))


@pytest.fixture
def make(llava, tmp_path, monkeypatch):
    # The variable above is read only once, perhaps by an earlier test's import.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def judge(iou_bar=0.7, **options):
        options = {
            "model": str(llava),
            "cache": str(tmp_path / "cache.sqlite"),
            "image_side": 32,
        } | options
        return TransformersJudge(
            iou_bar, 0, build(TransformersOptions, options, "vlm_itl.vlm_options.")
        )

    return judge


def cases(number=4):
    images = np.random.default_rng(0).integers(0, 256, (number, 32, 32, 3), np.uint8)
    images[:, :, :16] //= np.arange(1, number + 1, dtype=np.uint8)[:, None, None, None]
    return [
        Case(f"{i}", image, np.uint8(image[..., 0] > 99), ("background", "cat"))
        for i, image in enumerate(images)
    ]


def inverse(case):
    return Case(case.id, case.image, 1 - case.mask, case.class_names)


def test_every_mask_gets_a_probability_and_the_decision_that_follows(make):
    verdicts = make().judge(cases())
    for verdict in verdicts:
        assert verdict.failure is None and verdict.iou is None and 0 < verdict.probability < 1
        assert verdict.decision == ("accept" if verdict.probability >= 0.5 else "reject")
        assert (
            verdict.usage["calls"] == verdict.usage["completion_tokens"] == 1
            and verdict.usage["prompt_tokens"] > 99
        )
    assert len({verdict.probability for verdict in verdicts}) == len(
        verdicts
    )  # the pictures matter


def test_the_probability_is_that_of_the_next_token(make):
    judge, (case, *_) = make(cache=None), cases()
    (verdict,) = judge.judge([case])
    question = single_question(case, 0.7, judge.look, "word")
    content = [{"type": "text", "text": question.text}]
    for title, image in question.images():
        content += [{"type": "text", "text": title}, {"type": "image", "image": image}]
    inputs = judge._processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    with torch.inference_mode():
        likely = judge._model(**inputs).logits[0, -1].softmax(-1)
    ids = judge._processor.tokenizer.convert_tokens_to_ids
    yes, no = (sum(likely[ids(letter)].item() for letter in letters) for letters in ("yY", "nN"))
    assert verdict.probability == pytest.approx(yes / (yes + no), rel=1e-4)


def test_order_and_batches_change_no_answer_and_no_other_randomness(make):
    some, state = cases(), torch.random.get_rng_state()
    together = make(cache=None).judge(some)
    apart = [make(cache=None).judge([case])[0] for case in some[::-1]][::-1]
    assert together == apart and torch.equal(state, torch.random.get_rng_state())


def test_pairs_mirror(make):
    pairs = [(case, inverse(case)) for case in cases()]
    for first, second in zip(
        make().compare(pairs), make().compare([pair[::-1] for pair in pairs]), strict=True
    ):
        assert first.better == 1 - second.better and first.probability == pytest.approx(
            1 - second.probability
        )
        assert (first.better == 0) == (first.probability > 0.5) and second.usage["cached"] == 1


def test_answers_are_replayed_without_the_model(make, llava):
    first = make().judge(cases())
    replayed = make(replay=True).judge(cases())
    assert [replace(v, usage={}) for v in first] == [replace(v, usage={}) for v in replayed]
    assert all(v.usage["cached"] == 1 for v in replayed)
    assert not hasattr(make(replay=True), "_model")
    # Another bar, another way of asking: other questions, never these answers.
    for other in (make(iou_bar=0.9, replay=True), make(answer="json", replay=True)):
        assert {v.failure for v in other.judge(cases())} == {"not in the cache"}


def test_written_answers_are_read_strictly(make):
    judge = make(answer="json", answer_tokens=300, cache=None)
    (verdict,) = judge.judge(cases(1))
    # An untrained model babbles, to the limit or not.
    assert verdict.decision == "abstain"
    assert verdict.failure.startswith(("not the answer", "the answer was cut off"))
    assert 1 < verdict.usage["completion_tokens"] <= 300
    (short,) = make(answer="json", answer_tokens=3, cache=None).judge(cases(1))
    assert "cut off" in short.failure and "answer_tokens" in short.failure
    # The real decoding and reading, of the tokens that a trained model would choose.
    text = '{"reason": "ok", "errors": [], "iou": 0.5, "probability": 0.25, "decision": "reject"}'
    wanted = torch.tensor([*judge._processor.tokenizer.encode(text), 2])
    start = []

    def steer(module, inputs, keywords, output):
        start.append(None)
        output.logits[:, -1] = (
            torch.nn.functional.one_hot(wanted[len(start) - 1], output.logits.shape[-1]) * 100.0
        )
        return output

    handle = judge._model.register_forward_hook(steer, with_kwargs=True)
    (verdict,) = judge.judge(cases(1))
    handle.remove()
    assert (verdict.decision, verdict.iou, verdict.probability) == ("reject", 0.5, 0.25)


def test_logits_that_are_not_finite_are_a_failure(make):
    judge = make(cache=None)
    with torch.no_grad():
        judge._model.lm_head.weight.fill_(math.nan)
    (verdict,) = judge.judge(cases(1))
    assert verdict.decision == "abstain" and "finite" in verdict.failure


def test_a_model_that_is_not_there_is_named(make, tmp_path):
    (tmp_path / "empty").mkdir()
    for model in (str(tmp_path / "empty"), "nobody/such-model", str(tmp_path / "none")):
        with pytest.raises(UserError, match=r"vlm_itl\.vlm_options\.model") as caught:
            make(model=model)
        assert model in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError, match="is empty"):
        make(model="")


def test_a_device_that_is_not_there_is_named(make):
    with pytest.raises(UserError, match=r"vlm_itl\.vlm_options\.device: 'abacus' can't be used"):
        make(device="abacus")


def test_a_model_without_a_chat_template_is_named(make, tmp_path):
    with pytest.raises(UserError, match="chat template"):
        make(model=str(save_llava(tmp_path / "base", template=None)))


def test_a_tokenizer_that_knows_neither_word_is_named(make, tmp_path):
    folder = save_llava(tmp_path / "mute", alphabet=["a", "b", "c"])
    with pytest.raises(UserError, match="can't tell 'yes' from 'no'"):
        make(model=str(folder))
