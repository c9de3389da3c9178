"""What a run records of itself, and which runs it refuses to go on with."""

import dataclasses

import pytest

from weakseg.common import UserError
from weakseg.training import options
from weakseg.training.checkpoints import refuse_other_flags
from weakseg.training.probe_options import ProbeOptions
from weakseg.training.run import FREE, LATER, LEARNERS, TrainingRun


def a_run(*words):
    return TrainingRun.of_flags(vars(options.parse_args(["--supervision_mode", "points", *words])))


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_run_records_every_flag_that_it_has_use_for_and_cannot_be_changed(learner):
    words = ["--learner", learner]
    args = vars(options.parse_args(["--supervision_mode", "points", *words]))
    recorded = a_run(*words).recorded()
    of_probe = {option.name for option in dataclasses.fields(ProbeOptions)}
    assert recorded.keys() == args.keys() - (set() if learner == "probe" else of_probe)
    # These get their values from the others.
    unsettled = {"run_name", "open_boxes", "img_size", "select_by"}
    assert {k: v for k, v in recorded.items() if k not in unsettled} == {
        k: args[k] for k in recorded if k not in unsettled
    }
    with pytest.raises(dataclasses.FrozenInstanceError):
        a_run().epochs = 3


def test_each_learner_has_its_own_size_of_images_unless_one_is_given():
    sizes = {name: a_run("--learner", name).img_size for name in LEARNERS}
    assert sizes == LEARNERS
    for name in LEARNERS:
        assert a_run("--learner", name, "--img_size", "128").img_size == 128
    assert a_run("--learner", "probe", "--img_size", "100").img_size == 100
    with pytest.raises(UserError, match="multiple of 32"):
        a_run("--img_size", "100")


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_that_no_generator_takes_is_refused(learner, seed):
    with pytest.raises(UserError, match=f"--seed {seed}: must not be negative"):
        a_run("--learner", learner, "--seed", str(seed))
    assert a_run("--learner", learner, "--seed", str(2**63 - 1)).seed == 2**63 - 1


def test_a_probe_has_a_fit_more_than_rounds_and_chooses_none():
    probe = a_run("--learner", "probe", "--rounds", "3")
    assert (probe.last_epoch, probe.selection) == (4, None)
    assert (a_run("--epochs", "7").last_epoch, a_run().selection) == (7, "val_loss")


def test_a_probe_goes_on_with_its_own_flags_only():
    probe = ["--learner", "probe"]
    recorded = a_run(*probe).recorded()
    refuse_other_flags(a_run(*probe, "--jobs", "2", "--backend", "loky"), recorded)
    for more in (["--rounds", "5"], ["--scale", "0.5"], ["--finest_stride", "2"]):
        flag = more[0].removeprefix("--")
        with pytest.raises(UserError, match=f"was trained with {flag} = "):
            refuse_other_flags(a_run(*probe, *more), recorded)
    for before, after in (([], probe), (probe, [])):
        with pytest.raises(UserError, match="was trained with learner = "):
            words = [*after, "--img_size", "256"]
            refuse_other_flags(a_run(*words), a_run(*before, "--img_size", "256").recorded())


def test_a_run_goes_on_with_its_own_flags_only():
    recorded = a_run().recorded()
    refuse_other_flags(a_run(), recorded)
    refuse_other_flags(
        a_run("--num_workers", "3", "--threads", "2"), recorded
    )  # how fast, not what
    assert {"num_workers", "threads"} <= FREE
    with pytest.raises(UserError, match=r"was trained with lr = 0\.0001, not 0\.1"):
        refuse_other_flags(a_run("--lr", "0.1"), recorded)


def test_a_run_goes_on_from_a_checkpoint_that_is_older_than_a_flag():
    recorded = a_run().recorded()
    older = {flag: value for flag, value in recorded.items() if flag not in LATER}
    assert LATER.keys() <= recorded.keys()
    refuse_other_flags(a_run(), older)
    for before in (recorded, older):
        with pytest.raises(UserError, match="no_background = False, not True"):
            refuse_other_flags(a_run("--no_background"), before)


@pytest.mark.parametrize(("weight", "is_refused"), [(None, False), (0.0, False), (0.1, True)])
def test_a_run_with_a_loss_that_is_gone_is_refused(weight, is_refused):
    recorded = a_run().recorded() | {"lambda_colour": weight}
    if not is_refused:
        refuse_other_flags(a_run(), recorded)
        return
    with pytest.raises(UserError, match=r"lambda_colour = 0\.1, which train.py no longer has"):
        refuse_other_flags(a_run(), recorded)
