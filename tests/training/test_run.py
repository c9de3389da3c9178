"""What a run records of itself, and which runs it refuses to go on with."""

import dataclasses

import pytest

from weakseg.common import UserError
from weakseg.training import options
from weakseg.training.checkpoints import refuse_other_flags
from weakseg.training.run import FREE, LATER, TrainingRun


def a_run(*words):
    return TrainingRun.of_flags(vars(options.parse_args(["--supervision_mode", "points", *words])))


def test_a_run_records_every_flag_and_cannot_be_changed():
    args = vars(options.parse_args(["--supervision_mode", "points"]))
    recorded = a_run().recorded()
    assert recorded.keys() == args.keys()
    unsettled = {"run_name", "open_boxes"}  # these get their values from the others
    assert {k: v for k, v in recorded.items() if k not in unsettled} == {
        k: v for k, v in args.items() if k not in unsettled
    }
    with pytest.raises(dataclasses.FrozenInstanceError):
        a_run().epochs = 3


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
