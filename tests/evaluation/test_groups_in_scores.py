"""Groups of seeds: their names, for folders and for people."""

from weakseg.evaluation.groups import group_name, seed_groups, title


def test_groups_are_named_by_what_their_runs_share():
    def names(*runs):
        return group_name([{"run": name} for name in runs])

    assert (
        names("points_s0", "points_s1") == "points_s"
        and names("one") == "one"
        and names("a", "b") == "a_and_1_more"
    )


def test_runs_are_called_by_their_labels_and_by_name_where_that_is_not_enough():
    def group(name, signals, recipe=None, seeds=1, **more):
        args = ({"recipe": recipe} if recipe else {}) | more
        return [
            {"run": f"{name}_seed{k}" if seeds > 1 else name, "supervision": signals, "args": args}
            for k in range(seeds)
        ]

    groups = [
        group("masks", ["full"]),  # of a version that knew no recipes
        group("mix", ["tags", "points"], "plain"),
        group("one", ["boxes"], "strong", seeds=3),
        group("Two", ["boxes"], "strong"),
    ]
    assert [title(each, groups) for each in groups] == [
        "Masks",
        "Tags + points",
        "Boxes, strong (one)",
        "Boxes, strong (Two)",
    ]
    assert title(groups[2], groups[:3]) == "Boxes, strong"
    probe = group("probe", ["boxes"], "strong", learner="probe")
    assert title(probe, [*groups, probe]) == "Boxes, probe"


def test_seeds_of_one_run_are_a_group_also_where_some_are_older_than_a_flag():
    def results(*changed):
        return [
            {"run": str(seed), "args": {"seed": seed, "lr": 0.1, **args}, "epochs_done": 1}
            for seed, args in enumerate(changed)
        ]

    unet = {"learner": "unet", "no_background": False, "jobs": 1, "backend": "threading"}
    assert len(seed_groups(results({}, unet, {"learner": "unet"}))) == 1
    assert len(seed_groups(results({}, {"learner": "probe"}, unet | {"lr": 0.2}))) == 3
