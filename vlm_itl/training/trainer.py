"""The Hugging Face Trainer on this project's losses, and on batches in a table's own order."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import nn
from torch.utils.data import SequentialSampler, default_collate
from tqdm import tqdm
from transformers import (
    EvalPrediction,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from losses import Criterion
from vlm_itl.sections import Training
from vlm_itl.training.checkpoints import (
    WEIGHTS,
    last_checkpoint,
    load_strictly,
    mark_complete,
    packed,
)
from vlm_itl.training.segformer import encoder_prefix
from weakseg.metrics import confusion_matrix, largest, scores
from weakseg.training.loop import stop_if_not_finite
from weakseg.training.optim import make_optimizer
from weakseg.training.recipes import LossOptions


class StreamingMetrics:
    """Mean IoU from one confusion matrix, whatever the number of images.

    It is the Trainer's `compute_metrics` with `batch_eval_metrics=True`: called with the predicted
    classes and the truth [B, S, S] of each batch, it returns {"miou"} after the last one.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.confusion: torch.Tensor | None = None

    def __call__(self, batch: EvalPrediction, compute_result: bool) -> dict[str, float]:
        predictions, truth = torch.as_tensor(batch.predictions), torch.as_tensor(batch.label_ids)
        confusion = confusion_matrix(predictions, truth, self.num_classes)
        if self.confusion is not None:
            confusion = self.confusion + confusion
        self.confusion = None if compute_result else confusion
        return {"miou": float(scores(confusion)["miou"])} if compute_result else {}


class SegmentationTrainer(Trainer):
    """Trains a network by a `Criterion` over rows {"image", "targets"}, in the table's own order.

    Upstream (transformers 5.23) loads a checkpoint without `strict`: names that don't match, which
    is most of a SegFormer's, keep their old values after a mere warning. Here a checkpoint fits to
    the last tensor or is refused.
    """

    def __init__(
        self,
        network: nn.Module,
        arguments: TrainingArguments,
        criterion: Criterion,
        folder: Path,
        **options: Any,
    ) -> None:
        super().__init__(network, arguments, **options)
        self.network, self.folder = network, folder
        self.criterion = criterion.to(self.args.device)

    def _get_train_sampler(self, train_dataset: Any = None) -> SequentialSampler:
        table: Any = train_dataset or self.train_dataset
        return SequentialSampler(table)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Return the loss of one batch, or (loss, outputs of the network)."""
        outputs = model(inputs["image"])
        terms = self.criterion(outputs, inputs["targets"])
        values = {name: mean.value for name, mean in terms.items()}
        labelled = {name: mean.count > 0 for name, mean in terms.items()}
        loss = self.criterion.combine(values, outputs, labelled)
        stop_if_not_finite(
            self.state.global_step, {name: value.item() for name, value in values.items()}
        )
        return (loss, outputs) if return_outputs else loss

    @torch.no_grad()
    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
        """Return (None, predicted classes [B, S, S] uint8, truth [B, S, S]) of one batch.

        Logits would take 4 C times the memory of classes.
        """
        inputs = self._prepare_inputs(inputs)
        with self.compute_loss_context_manager():
            logits = model(inputs["image"])["seg"]
        return None, largest(logits, 1).byte(), inputs["mask"]

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: nn.Module | None = None
    ) -> None:
        load_strictly(model or self.network, Path(resume_from_checkpoint) / WEIGHTS)

    def _load_best_model(self) -> None:
        # By its name: the folder may have been moved since it was written down.
        if best := self.state.best_model_checkpoint:
            load_strictly(self.network, self.folder / Path(best).name / WEIGHTS)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        state = self.network.state_dict() if state_dict is None else state_dict
        super()._save(output_dir, packed(state))

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        mark_complete(self.folder / f"checkpoint-{self.state.global_step}")


class Progress(TrainerCallback):
    """A progress bar; the Trainer's numbers are handed to a function `log(numbers, step)`."""

    def __init__(self, description: str, log: Callable[[Mapping[str, float], int], None]) -> None:
        self.description, self.log = description, log

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Open the bar, where the training goes on."""
        self.bar = tqdm(
            total=state.max_steps, initial=state.global_step, desc=self.description, unit="step"
        )

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Move the bar on."""
        self.bar.update(1)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Close the bar."""
        self.bar.close()

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any
    ) -> None:
        """Hand on what the Trainer logs, as far as it is numbers.

        Its summary at the end (train_loss, ...) is about the steps since the last start alone.
        """
        numbers = {
            name: value
            for name, value in (logs or {}).items()
            if isinstance(value, int | float) and not name.startswith("train_")
        }
        if numbers.keys() - {"epoch", "total_flos"}:
            self.log(numbers, state.global_step)


def make_arguments(training: Training, folder: Path, seed: int) -> TrainingArguments:
    """Return the `TrainingArguments` of the config's section `training`."""
    cuda = torch.cuda.is_available() and training.device in ("auto", "cuda")
    half = cuda if training.mixed_precision is None else training.mixed_precision
    bf16 = half and (not cuda or torch.cuda.get_device_capability()[0] >= 8)
    every = training.eval_steps or training.steps
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=training.steps,
        per_device_train_batch_size=training.batch_size,
        per_device_eval_batch_size=training.batch_size,
        max_grad_norm=0,
        seed=seed % 2**32,
        use_cpu=training.device == "cpu",
        bf16=bf16,
        fp16=half and not bf16,
        eval_strategy="steps" if training.eval_steps or training.select == "best" else "no",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=training.select == "best",
        metric_for_best_model="miou",
        greater_is_better=True,
        logging_steps=logging_steps(training.steps, every),
        batch_eval_metrics=True,
        label_names=["mask"],
        remove_unused_columns=False,
        dataloader_num_workers=training.num_workers,
        dataloader_pin_memory=cuda,
        report_to="none",  # `Progress` hands the numbers to the run's own tracker
        disable_tqdm=True,
        log_level="error",
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # several GPUs in one process would each get a batch
    return arguments


def logging_steps(steps: int, every: int) -> int:
    """Return after how many steps a training logs its mean loss: about ten times in all.

    A checkpoint, `every` so many steps, is no break in a mean: a training that goes on from it logs
    what one left alone does.
    """
    most = max(1, steps // 10)
    return max(number for number in range(1, most + 1) if every % number == 0)


def make_trainer(
    network: nn.Module,
    criterion: Criterion,
    training: Training,
    folder: Path,
    seed: int,
    num_classes: int,
    table: Dataset | None = None,
    validation: Dataset | None = None,
    progress: TrainerCallback | None = None,
) -> SegmentationTrainer:
    """Return the Trainer of one training; `vlm_itl.training.data` makes the tables."""
    optimizers = make_optimizer(
        network,
        criterion,
        training.steps,
        training.learning_rate,
        training.decoder_lr_scale,
        training.weight_decay,
        training.warmup,
        encoder_prefix(network),
    )
    trainer = SegmentationTrainer(
        network,
        make_arguments(training, folder, seed),
        criterion,
        folder,
        train_dataset=table,
        eval_dataset=validation,
        data_collator=default_collate,
        compute_metrics=StreamingMetrics(num_classes),
        optimizers=optimizers,
        callbacks=[progress] if progress else [],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def train_network(
    network: nn.Module,
    criterion: Criterion,
    training: Training,
    folder: Path,
    seed: int,
    num_classes: int,
    table: Dataset,
    validation: Dataset,
    progress: TrainerCallback,
) -> None:
    """Train a network, from the last complete checkpoint below `folder` if there is one."""
    trainer = make_trainer(
        network, criterion, training, folder, seed, num_classes, table, validation, progress
    )
    checkpoint = last_checkpoint(folder)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def make_criterion(signals: Sequence[str], options: LossOptions) -> Criterion:
    """Return the plain `Criterion` of the signals' terms, each with weight 1.

    CAM masks are learned from only where there are tags alone.
    """
    weights = dict.fromkeys(signals, 1.0)
    if tuple(signals) == ("tags",):
        weights["cam"] = 1.0
    return Criterion(signals, weights, options)
