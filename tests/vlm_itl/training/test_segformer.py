"""Both networks keep one contract; SegFormer is transformers' own."""

import pytest
import torch
import torch.nn.functional as F
from conftest import without_network

from vlm_itl.sections import Model
from vlm_itl.training.segformer import build_network, encoder_prefix, is_segformer
from vlm_itl.training.trainer import make_criterion
from weakseg.common import UserError
from weakseg.training.recipes import LossOptions

CLASSES, TAGS = ["background", "cat", "dog"], 2
NAMES = ("efficientnet-lite0", "segformer-tiny")


@pytest.fixture(scope="module", params=NAMES)
def network(request):
    torch.manual_seed(0)
    return build_network(Model(name=request.param, weights="none", dropout=0.5), CLASSES, TAGS)


@pytest.fixture(scope="module")
def segformer():
    torch.manual_seed(1)
    return build_network(Model(name="segformer-tiny", weights="none"), CLASSES, TAGS).eval()


@pytest.fixture
def images():
    return torch.randint(
        0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@torch.no_grad()
def test_the_contract(network, images):
    outputs = network.eval()(images)
    assert set(outputs) == {"seg", "tags", "cam", "features", "decoded"}
    assert outputs["seg"].shape == (2, len(CLASSES), 64, 96)
    assert outputs["tags"].shape == (2, TAGS)
    assert outputs["cam"].shape == (2, TAGS, 4, 6)
    assert outputs["features"].shape[0] == 2 and outputs["features"].shape[2:] == (4, 6)
    assert outputs["decoded"].shape[0] == 2
    assert torch.equal(network.classify(outputs["decoded"], (64, 96)), outputs["seg"])
    assert network.cam_scale == 1


@torch.no_grad()
def test_dropout_is_random_while_it_trains_and_only_then(network, images):
    decoded = network.eval()(images)["decoded"]
    torch.manual_seed(2)
    assert torch.equal(network.classify(decoded, (64, 96)), network.classify(decoded, (64, 96)))
    network.dropout.train()
    assert not torch.equal(network.classify(decoded, (64, 96)), network.classify(decoded, (64, 96)))
    network.eval()


@torch.no_grad()
def test_an_image_is_predicted_alike_alone_and_in_a_batch(network, images):
    together, alone = network.eval()(images), network(images[1:])
    assert torch.allclose(together["seg"][1:], alone["seg"], atol=1e-4)


@pytest.mark.parametrize("signals", [("full",), ("tags",), ("full", "tags")])
def test_the_losses_reach_the_parameters_they_should(network, images, signals):
    criterion = make_criterion(signals, LossOptions((1, 2)))
    targets = {
        "full": torch.randint(0, 3, (2, 64, 96)),
        "tags": torch.tensor([[1.0, 0.0], [0.0, 1.0]]),
    }
    outputs = network.train()(images)
    terms = criterion(outputs, targets)
    network.zero_grad()
    criterion.combine({name: mean.value for name, mean in terms.items()}, outputs).backward()
    network.eval()
    # Weights only: a bias that a normalisation takes away again has no gradient but rounding.
    weights = {name: p for name, p in network.named_parameters() if p.ndim > 1}
    reached = {name for name, p in weights.items() if p.grad is not None and p.grad.any()}
    names = set(weights)
    head = {name for name in names if name.startswith("tag_head.")}
    assert head and (head <= reached if "tags" in signals else not head & reached)
    if "full" in signals:
        assert names - head == reached - head


def test_the_encoder_is_what_its_prefix_says(network):
    prefix = encoder_prefix(network)
    encoder = {name for name, _ in network.named_parameters() if name.startswith(prefix)}
    others = {name for name, _ in network.named_parameters()} - encoder
    assert encoder and any(name.startswith("tag_head") for name in others)
    assert not any(
        "decode" in name or "classifier" in name or "segmentation_head" in name for name in encoder
    )


@torch.no_grad()
def test_segformer_is_the_one_of_transformers(segformer, images, tmp_path):
    from transformers import SegformerForSemanticSegmentation

    before = segformer(images)["seg"]
    segformer.save_pretrained(tmp_path)
    assert torch.equal(segformer(images)["seg"], before)  # saving leaves it as it was
    theirs, report = SegformerForSemanticSegmentation.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    values = (images / 255 - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    logits = theirs.eval()(values).logits
    assert logits.shape[-2:] == (16, 24)
    assert torch.allclose(F.interpolate(logits, (64, 96), mode="bilinear"), before, atol=1e-4)
    assert theirs.config.id2label == dict(enumerate(CLASSES))


@torch.no_grad()
def test_a_folder_is_a_name(segformer, images, tmp_path):
    segformer.save_pretrained(tmp_path)
    assert is_segformer(str(tmp_path))
    again = build_network(Model(name=str(tmp_path), weights="imagenet"), CLASSES, TAGS).eval()
    assert torch.equal(again(images)["seg"], segformer(images)["seg"])
    bare = build_network(Model(name=str(tmp_path), weights="none"), CLASSES, TAGS).eval()
    assert bare(images)["seg"].shape == (2, 3, 64, 96)
    assert not torch.equal(bare(images)["seg"], again(images)["seg"])


@torch.no_grad()
def test_other_classes_get_a_new_last_layer_on_the_same_encoder(segformer, images, tmp_path):
    segformer.save_pretrained(tmp_path)
    other = build_network(Model(name=str(tmp_path)), [*CLASSES, "bird"], 3).eval()
    assert other(images)["seg"].shape[1] == 4
    assert torch.equal(other(images)["features"], segformer(images)["features"])


def test_a_folder_without_a_segformer_is_refused(tmp_path):
    from transformers import ViTConfig, ViTModel

    small = ViTConfig(
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        image_size=32,
    )
    ViTModel(small).save_pretrained(tmp_path / "vit")
    (tmp_path / "empty").mkdir()
    for name in ("vit", "empty"):
        with pytest.raises(UserError, match=rf"model\.name .*{name}"):
            build_network(Model(name=str(tmp_path / name)), CLASSES, TAGS)


def test_an_unknown_name_is_refused():
    with pytest.raises(UserError, match="efficientnet-lite9"):
        build_network(Model(name="efficientnet-lite9", weights="none"), CLASSES, TAGS)


def test_a_hub_id_without_a_hub_is_one_line(tmp_path):
    code = (
        "from weakseg.common import UserError\nfrom vlm_itl.sections import Model\n"
        "from vlm_itl.training.segformer import build_network\n"
        "for weights in ('imagenet', 'none'):\n    try:\n"
        "        build_network(Model(name='nvidia/mit-b0', weights=weights), ['a', 'b'], 1)\n"
        "    except UserError as error:\n        print(error)"
    )
    done = without_network(code, tmp_path)
    lines = done.stdout.splitlines()
    assert len(lines) == 2 and all(
        line.startswith("model.name nvidia/mit-b0: could not be loaded") for line in lines
    )
    assert "Traceback" not in done.stderr
