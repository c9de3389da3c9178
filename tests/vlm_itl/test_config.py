"""What is shipped loads, what is wrong is named, what is left out has its default."""

import itertools
import types
import typing
from pathlib import Path

import pytest
import yaml
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import assume, given
from hypothesis import strategies as st

from vlm_itl.config import Config, check_judging, load_config
from vlm_itl.loop_sections import ActiveLearning, VlmItl
from vlm_itl.settings import Section, as_plain, build, describe_keys
from weakseg.common import UserError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


def leaves(cls=Config, prefix=""):
    """Yield (dotted name, pydantic field) of every key."""
    for name, item in cls.model_fields.items():
        if isinstance(item.annotation, type) and issubclass(item.annotation, Section):
            yield from leaves(item.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, item


LEAVES = dict(leaves())
names = st.sampled_from(sorted(LEAVES))


def nested(name, value):
    """Return {"a": {"b": value}} for the name "a.b"."""
    for part in reversed(name.split(".")):
        value = {part: value}
    return value


def get(config, name):
    """Return the value of a dotted key."""
    for part in name.split("."):
        config = getattr(config, part)
    return config


def refusal(content):
    """Return the message with which `content` is refused, which is one line."""
    with pytest.raises(UserError) as caught:
        build(Config, content)
    message = str(caught.value)
    assert message and "\n" not in message
    return message


def accepts(hint, kind):
    """Whether a key of this type takes a value of type `kind`; a choice takes no type as such."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return kind in [typing.get_origin(each) or each for each in kinds]


def choices(name):
    """Return the words that a key chooses from; none where it takes any."""
    hint = LEAVES[name].annotation
    return typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_shipped_file_loads_and_says_what_it_sets(path):
    config, content = load_config(path)
    assert content == yaml.safe_load(path.read_text())
    for section, values in content.items():
        for key, value in values.items() if isinstance(values, dict) else ():
            assert get(config, f"{section}.{key}") == value


def test_there_are_shipped_files():
    assert len(CONFIGS) >= 4


def test_an_empty_file_and_the_written_defaults_are_the_defaults(tmp_path):
    path = tmp_path / "a.yaml"
    for text in ("", "data:\n", yaml.safe_dump(as_plain(Config()))):
        path.write_text(text)
        assert load_config(path)[0] == Config()


@given(name=names, data=st.data())
def test_a_key_with_a_letter_dropped_is_refused_with_the_right_one(name, data):
    section, _, key = name.rpartition(".")
    place = data.draw(st.integers(0, len(key) - 1))
    typo = key[:place] + key[place + 1 :]
    siblings = [other.rpartition(".")[2] for other in LEAVES if other.rpartition(".")[0] == section]
    assume(len(typo) > 2 and typo not in siblings)
    wrong = f"{section}.{typo}" if section else typo
    assert refusal(nested(wrong, 1)) == f"unknown key {wrong}: did you mean {name}?"


def test_an_unknown_key_that_resembles_none_lists_them():
    assert "known: network, name, weights, dropout, head" in refusal({"model": {"zzz": 1}})


@given(name=names, wrong=st.sampled_from([{"a": 1}, {"a": [1]}, [[1]], "word", 1.5, True, None]))
def test_a_value_of_the_wrong_type_is_refused_by_its_name(name, wrong):
    hint, kind = LEAVES[name].annotation, type(wrong)
    # Text takes numbers; a tuple takes what its items take, also alone; YAML's null suits only what
    # may be left out.
    inner = typing.get_args(hint)[0] if typing.get_origin(hint) is tuple else hint
    assume(not accepts(inner, kind) and not (kind is float and accepts(inner, str)))
    assert refusal(nested(name, wrong)).startswith(f"{name}: must be ")


@given(
    name=st.sampled_from(
        [
            n
            for n, item in LEAVES.items()
            if accepts(item.annotation, int) or accepts(item.annotation, float)
        ]
    )
)
def test_a_bool_is_no_number(name):
    for value in (True, False):
        assert "a number" in refusal(nested(name, value)) or "a whole number" in refusal(
            nested(name, value)
        )


# A kind of limit -> (its name in pydantic, how far outside a refused value lies).
LIMITS = {Ge: ("ge", -1e-6), Le: ("le", 1e-6), Gt: ("gt", 0), Lt: ("lt", 0)}


def limits(name):
    """Return the limits of a key's value: Ge, Le, Gt and Lt of `annotated_types`."""
    return [rule for rule in LEAVES[name].metadata if type(rule) in LIMITS]


@pytest.mark.parametrize("name", [n for n in LEAVES if limits(n)])
def test_limits_hold_to_the_last_digit(name):
    whole = accepts(LEAVES[name].annotation, int)
    for rule in limits(name):
        attribute, step = LIMITS[type(rule)]
        limit = getattr(rule, attribute)
        outside = limit + round(step / 1e-6) if whole else float(limit + step)
        message = refusal(nested(name, outside))
        assert message.startswith(f"{name}: must ") and message.endswith(f" {outside!r}")
        inside = limit if step else limit + (1e-9 if attribute == "gt" else -1e-9)
        assert get(build(Config, nested(name, inside)), name) == inside


@pytest.mark.parametrize("name", [n for n in LEAVES if choices(n)])
def test_choices_are_the_only_ones(name):
    for choice in choices(name):
        assert get(build(Config, nested(name, choice)), name) == choice
        assert f"did you mean {choice}?" in refusal(nested(name, choice + "x"))


def test_a_size_that_the_network_cannot_halve_is_refused():
    assert "a multiple of 32" in refusal({"data": {"image_size": 100}})


def test_numbers_may_be_written_in_any_way(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "training: {learning_rate: 3e-4, weight_decay: 1, decoder_lr_scale: 10}\nrun_name: 5\n"
    )
    config, _ = load_config(path)
    assert config.training.learning_rate == 3e-4
    assert isinstance(config.training.weight_decay, float)
    assert config.run_name == "5"


@pytest.mark.parametrize("value", [".nan", ".inf", "1e999", "1" + "0" * 400, "three"])
def test_numbers_that_are_none_are_refused(tmp_path, value):
    path = tmp_path / "a.yaml"
    path.write_text(f"training: {{learning_rate: {value}}}")
    with pytest.raises(
        UserError, match=r"a\.yaml: training\.learning_rate: must be a (finite )?number"
    ):
        load_config(path)


def test_a_single_word_is_a_list_of_one_and_null_only_where_it_means_something():
    config = build(Config, {"data": {"classes": "cat", "pool_limit": None}})
    assert config.data.classes == ("cat",) and config.data.pool_limit is None
    assert refusal({"seed": None}).startswith("seed: must be a whole number")


@pytest.mark.parametrize(
    ("override", "written"),
    [
        ("training.learning_rate=3e-4", {"training": {"learning_rate": "3e-4"}}),
        ("data.classes=[cat, pet=cat+dog]", {"data": {"classes": ["cat", "pet=cat+dog"]}}),
        ("output_dir=./a=b", {"output_dir": "./a=b"}),
        ("vlm_itl.vlm_options.model=tiny", {"vlm_itl": {"vlm_options": {"model": "tiny"}}}),
        ("vlm_itl.enabled=", {"vlm_itl": {"enabled": None}}),
        ("seed=7", {"seed": 7}),
    ],
)
def test_an_override_is_as_if_written_in_the_file(tmp_path, override, written):
    plain, full = tmp_path / "plain.yaml", tmp_path / "full.yaml"
    plain.write_text("data:\ntraining: {steps: 5}\n")
    merged = {"training": {"steps": 5}, **{k: v for k, v in written.items() if k != "training"}}
    merged["training"] |= written.get("training", {})
    full.write_text(yaml.safe_dump(merged))
    assert load_config(plain, [override])[0] == load_config(full)[0]


def test_the_last_override_wins(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("seed: 1")
    assert load_config(path, ["seed=2", "seed=3"])[0].seed == 3


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.steps", "write section.key=value"),
        ("=3", "write section.key=value"),
        ("training.=3", "write section.key=value"),
        ("training.stops=3", "did you mean training.steps"),
        ("training.steps=many", "training.steps: must be a whole number"),
        ("training.steps=[", "is not YAML"),
        ("run_name=2026-13-01", "is not YAML"),  # looks like a date
        ("seed.steps=3", "seed is no table"),
        ("training=3", "training: must be a table"),
    ],
)
def test_a_bad_override_is_one_clear_line(tmp_path, override, words):
    path = tmp_path / "a.yaml"
    path.write_text("seed: 1")
    with pytest.raises(UserError) as caught:
        load_config(path, [override])
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["- 1\n- 2\n", "word", "5", "a: b: c", "\x00", "seed: 2026-99-99", "data: [1]"]
)
def test_a_file_that_is_no_table_is_refused_by_its_name(tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"a\.yaml: ") as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


ALIASES = "a: &a [x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in itertools.pairwise("abcdefgh")
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed: 1\nseed: 2", "the key 'seed' stands twice"),
        ("data: {image_size: 64, image_size: 96}", "the key 'image_size' stands twice"),
        ("vlm_itl: {vlm_options: {model: a, model: b}}", "the key 'model' stands twice"),
        ("1: 2", "the key '1' is no word"),
        ("? [1]\n: 2", "is no word"),
        ("data: " + "[" * 20000, "too deep"),
        ("{a: " * 5000, "too deep"),
        ("vlm_itl: {vlm_options: &a {cache: *a}}", "a part of itself"),
        (ALIASES + "data: {hub_image: *h}", "data.hub_image: must be text"),
        ("data: {image_size: 1:30}", "image_size: must be a whole number, not '1:30'"),
        ("training: {steps: 1000000000000000000000}", "training.steps: must be at most 1e+07"),
        ("seed: !!python/object/apply:os.system [exit]", "could not determine a constructor"),
        ("project: a/b", "project: "),
        ("#" * 1_000_001, "is no file of settings"),
    ],
)
def test_what_a_file_may_not_hold_is_one_line(tmp_path, text, words):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"a\.yaml: ") as caught:
        load_config(path)
    message = str(caught.value)
    assert words in message and "\n" not in message and len(message) < 500


def test_a_whole_number_is_decimal_and_a_merged_table_may_be_overridden(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("seed: 010\ntraining: {steps: 1_000}\n")
    config, _ = load_config(path)
    assert config.seed == 10 and config.training.steps == 1000
    path.write_text("data: &usual {image_size: 64}\nmodel: {name: x, <<: {name: y, head: small}}\n")
    config, _ = load_config(path)
    assert (config.model.name, config.model.head) == ("x", "small")


def test_an_override_does_not_hide_that_the_file_is_no_table(tmp_path):
    path = tmp_path / "a.yaml"
    for text in ("- 1", "training: 5"):
        path.write_text(text)
        with pytest.raises(UserError):
            load_config(path, ["training.steps=3"])


def test_a_file_that_cannot_be_read_is_refused_by_its_name(tmp_path):
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\xfa")
    for name in ("missing.yaml", "binary.yaml", "."):
        with pytest.raises(UserError, match="cannot be read"):
            load_config(tmp_path / name)


def test_the_help_names_every_key_with_its_default_and_meaning():
    text = describe_keys(Config)
    for name, item in LEAVES.items():
        key = name.rpartition(".")[2]
        assert f"{key}: " in text and item.description in text
    for section in ("data", "model", "training", "active_learning", "vlm_itl"):
        assert f"\n{section}:\n" in text


def test_a_promise_needs_an_audit():
    for promise in ({"risk": 0.2, "calibration": "none"}, {"risk": None, "calibration": "platt"}):
        with pytest.raises(UserError, match=r"vlm_itl.audit_share 0: .*vlm_itl.risk: null"):
            check_judging(Config(vlm_itl=VlmItl(audit_share=0.0, **promise)))
        check_judging(Config(vlm_itl=VlmItl(audit_share=0.1, **promise)))
    check_judging(Config(vlm_itl=VlmItl(audit_share=0.0, risk=None, calibration="none")))


def test_a_judge_that_compares_networks_needs_several():
    agreement = VlmItl(vlm_handler="confidence", vlm_options={"measure": "agreement"})
    with pytest.raises(UserError, match=r"active_learning.ensemble_size 1"):
        check_judging(Config(vlm_itl=agreement))
    check_judging(Config(vlm_itl=agreement, active_learning=ActiveLearning(ensemble_size=2)))
