"""Where a run's numbers go: always `log.jsonl`; as the config says Weights & Biases or TensorBoard,
one run a round.
"""

import json
import time

from weakseg.training.tracking import wandb_mode


class NoTracker:
    """Tracks nothing."""

    def __init__(self, settings, folder, name, group):
        pass

    def log(self, numbers, step):
        """Track numbers of one step."""

    def finish(self):
        """Close the run."""


class Wandb(NoTracker):
    """A run of Weights & Biases; offline where there is no key (`wandb sync` uploads it later)."""

    def __init__(self, settings, folder, name, group):
        import wandb

        from vlm_itl.settings import as_plain

        self.run = wandb.init(
            project=settings.project,
            name=name,
            group=group,
            dir=str(folder),
            mode=wandb_mode(),
            config=as_plain(settings),
            reinit="create_new",
        )

    def log(self, numbers, step):
        self.run.log(numbers, step=step)

    def finish(self):
        self.run.finish()


class TensorBoard(NoTracker):
    """Event files in `<run>/tensorboard/<name>`."""

    def __init__(self, settings, folder, name, group):
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder / "tensorboard" / name))

    def log(self, numbers, step):
        for key, value in numbers.items():
            self.writer.add_scalar(key, value, step)

    def finish(self):
        self.writer.close()


TRACKERS = {"none": NoTracker, "wandb": Wandb, "tensorboard": TensorBoard}


class Tracker:
    """Opens a tracker's run for each round and one for the summary, and writes every number to
    `log.jsonl`.
    """

    def __init__(self, settings, folder):
        self.settings, self.folder, self.open = settings, folder, None

    def start(self, number, member=0):
        """Begin the run of a round -> a function `log(numbers, step)`."""
        self.stop()
        name = f"{self.folder.name}-round{number}" + (f"-member{member}" if member else "")
        self.open = TRACKERS[self.settings.log_with](
            self.settings, self.folder, name, self.folder.name
        )
        return lambda numbers, step: self.log(numbers, step, round=number, member=member)

    def log(self, numbers, step, **where):
        """Write one line, and hand the numbers to the open run."""
        line = {**where, "step": step, **numbers, "time": round(time.time(), 3)}
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.open.log(numbers, step)

    def summarise(self, results):
        """Write the curve as a run of its own."""
        self.stop()
        self.open = TRACKERS[self.settings.log_with](
            self.settings, self.folder, f"{self.folder.name}-summary", self.folder.name
        )
        judged = {line["round"]: line for line in results["judge"]}
        for point in results["curve"]:
            numbers = {
                key: value for key, value in point.items() if isinstance(value, (int, float))
            }
            found = judged.get(point["round"], {})
            numbers |= {
                f"judge/{key}": value
                for key, value in found.items()
                if isinstance(value, (int, float))
            }
            self.log(numbers, point["round"], summary=True)
        self.stop()

    def stop(self):
        """Close the open run, if there is one."""
        if self.open:
            self.open.finish()
        self.open = None
