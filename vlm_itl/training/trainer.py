"""The Hugging Face Trainer on this project's losses: strict checkpoints, streaming metrics, the
order of the table.
"""

import shutil
from pathlib import Path

import torch
from torch.utils.data import SequentialSampler, default_collate
from tqdm import tqdm
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from losses import Criterion
from vlm_itl.training.segformer import parameter_groups
from weakseg.common import UserError, atomic_path
from weakseg.metrics import confusion_matrix, largest, scores
from weakseg.training.loop import stop_if_not_finite
from weakseg.training.optim import make_optimizer

COMPLETE = "complete"  # written last into a checkpoint, it lists the files: a kill leaves folders without one of them
WEIGHTS = "model.safetensors"


class StreamingMetrics:
    """`compute_metrics` with `batch_eval_metrics=True`: one confusion matrix, whatever the number
    of images.

    Called with the predicted classes and the truth [B, S, S] of each batch; returns {"miou"} after
    the last one.
    """

    def __init__(self, num_classes):
        self.num_classes, self.confusion = num_classes, None

    def __call__(self, batch, compute_result):
        found = confusion_matrix(batch.predictions, batch.label_ids, self.num_classes)
        self.confusion = found if self.confusion is None else self.confusion + found
        if not compute_result:
            return {}
        confusion, self.confusion = self.confusion, None
        return {"miou": float(scores(confusion)["miou"])}


class SegmentationTrainer(Trainer):
    """Trains a network of `networks.py` by a `Criterion` over rows {"image", "targets"}, in the
    table's own order.

    Upstream (transformers 5.23) loads a checkpoint without `strict`: names that don't match, which
    is most of a SegFormer's, keep their old values after a mere warning. Here a checkpoint fits to
    the last tensor or is refused.
    """

    def __init__(self, *args, criterion, **options):
        super().__init__(*args, **options)
        self.criterion = criterion.to(self.args.device)

    def _get_train_sampler(self, train_dataset=None):
        return SequentialSampler(self.train_dataset if train_dataset is None else train_dataset)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        outputs = model(inputs["image"])
        terms = self.criterion(outputs, inputs["targets"], inputs["image"])
        values = {name: mean.value for name, mean in terms.items()}
        labelled = {name: mean.count > 0 for name, mean in terms.items()}
        loss = self.criterion.combine(values, outputs, labelled)
        stop_if_not_finite(
            self.state.global_step, {name: value.item() for name, value in values.items()}
        )
        return (loss, outputs) if return_outputs else loss

    @torch.no_grad()
    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """Return (None, predicted classes uint8, truth): classes are 4 C times smaller than their
        logits.
        """
        inputs = self._prepare_inputs(inputs)
        with self.compute_loss_context_manager():
            logits = model(inputs["image"])["seg"]
        return None, largest(logits, 1).byte(), inputs["mask"]

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        load_strictly(model or self.model, Path(resume_from_checkpoint) / WEIGHTS)

    def _load_best_model(self):
        # By its name: the folder may have been moved since it was written down.
        best = Path(self.args.output_dir) / Path(self.state.best_model_checkpoint).name
        load_strictly(self.model, best / WEIGHTS)

    def _save(self, output_dir=None, state_dict=None):
        state = self.model.state_dict() if state_dict is None else state_dict
        super()._save(output_dir, packed(state))

    def _save_checkpoint(self, model, trial):
        super()._save_checkpoint(model, trial)
        folder = Path(self.args.output_dir) / f"checkpoint-{self.state.global_step}"
        files = sorted(path.name for path in folder.iterdir())
        with atomic_path(folder / COMPLETE) as temporary:
            temporary.write_text("\n".join(files))


def packed(state):
    """Return a state dict as safetensors wants it: on the CPU, channels-last weights in plain
    order.
    """
    return {name: tensor.cpu().contiguous() for name, tensor in state.items()}


def load_strictly(network, path):
    """Load every tensor of a .safetensors file into `network`; what doesn't fit is a
    `UserError`.
    """
    from weakseg.inference.weights import read_tensors

    state = read_tensors(path, "checkpoint")
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise UserError(
            f"{path}: does not fit this network ({' '.join(str(error).split())[:160]})"
        ) from error


def is_complete(folder):
    """Whether a checkpoint was written to the end, and not partly removed since."""
    marker = Path(folder) / COMPLETE
    return marker.exists() and all(
        (marker.parent / name).exists() for name in marker.read_text().splitlines()
    )


def last_checkpoint(folder):
    """Return the newest complete checkpoint folder below `folder`, or None; incomplete ones are
    removed.
    """
    found = {}
    for path in Path(folder).glob("checkpoint-*"):
        if is_complete(path):
            found[int(path.name.rsplit("-", 1)[1])] = path
        else:
            shutil.rmtree(path)
    return found[max(found)] if found else None


class Progress(TrainerCallback):
    """A progress bar, and the Trainer's numbers handed to a function `log(numbers, step)`."""

    def __init__(self, description, log):
        self.description, self.log = description, log

    def on_train_begin(self, args, state, control, **_):
        self.bar = tqdm(
            total=state.max_steps, initial=state.global_step, desc=self.description, unit="step"
        )

    def on_step_end(self, args, state, control, **_):
        self.bar.update(1)

    def on_train_end(self, args, state, control, **_):
        self.bar.close()

    def on_log(self, args, state, control, logs=None, **_):
        self.log(
            {k: v for k, v in (logs or {}).items() if isinstance(v, (int, float))},
            state.global_step,
        )


def make_arguments(training, folder, seed):
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
        logging_steps=max(1, training.steps // 10),
        batch_eval_metrics=True,
        label_names=["mask"],
        remove_unused_columns=False,
        dataloader_num_workers=training.num_workers,
        dataloader_pin_memory=cuda,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # several GPUs in one process would each get a batch
    return arguments


def make_trainer(
    network,
    criterion,
    training,
    folder,
    seed,
    num_classes,
    table=None,
    validation=None,
    progress=None,
):
    """Return the `SegmentationTrainer` of one training; see `pascal_voc` for the tables."""
    steps, prefix = training.steps, parameter_groups(network)
    optimizers = make_optimizer(
        network,
        criterion,
        steps,
        training.learning_rate,
        training.decoder_lr_scale,
        training.weight_decay,
        training.warmup,
        prefix,
    )
    trainer = SegmentationTrainer(
        network,
        make_arguments(training, folder, seed),
        criterion=criterion,
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
    network,
    criterion,
    training,
    folder,
    seed,
    num_classes,
    table,
    validation,
    progress,
):
    """Train a network, from the last complete checkpoint below `folder` if there is one."""
    fitting = make_trainer(
        network, criterion, training, folder, seed, num_classes, table, validation, progress
    )
    checkpoint = last_checkpoint(folder)
    fitting.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def make_criterion(signals, options):
    """Return the plain `Criterion`: every term of the signals has weight 1, and CAM masks only
    where tags are alone.
    """
    weights = dict.fromkeys(signals, 1.0)
    if tuple(signals) == ("tags",):
        weights["cam"] = 1.0
    return Criterion(signals, weights, options)
