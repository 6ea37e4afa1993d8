"""Devices and processes of a training, by Hugging Face Accelerate; the only file that imports it for this.

One process needs no launcher; several are started by `torchrun` or `accelerate launch`, on one machine or more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs, gather_object
from torch import distributed as dist
from torch import nn

from fassd.core.errors import FassdError, UsageError
from fassd.training.sync_batchnorm import convert_sync_batchnorm

T = TypeVar("T")

# Processes reach a common point at different times, for example where one of them validates larger images.
_TIMEOUT = timedelta(minutes=10)


class PartnerLost(FassdError):
    """Another process of the same training ended or cannot be reached."""


class Distributed:
    """The processes that train together, and the device of this one.

    Args:
        device: as the user named it. Of several processes with GPUs each takes its own.
        sync_batchnorm: BatchNorm layers share their statistics over all processes.

    Raises:
        UsageError: there are more processes than GPUs, or `accelerate` is configured to shard the weights.

    Attributes:
        rank: of this process, from 0.
        processes: their number.
    """

    def __init__(self, device: torch.device, sync_batchnorm: bool = True) -> None:
        _check_launch(device)
        self._sync_batchnorm = sync_batchnorm
        kwargs = [
            InitProcessGroupKwargs(timeout=_TIMEOUT),
            DistributedDataParallelKwargs(gradient_as_bucket_view=True),
        ]
        # The recipe decides precision and compilation, whatever `accelerate config` has stored.
        self.accelerator = Accelerator(
            cpu=device.type == "cpu", mixed_precision="no", dynamo_backend="no", kwargs_handlers=kwargs
        )
        self.rank, self.processes = self.accelerator.process_index, self.accelerator.num_processes
        self.device = device if self.processes == 1 else self.accelerator.device
        if self.device.type == "cuda" and self.device.index is not None:
            torch.cuda.set_device(self.device)

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes the run's folder and reports to the user."""
        return bool(self.rank == 0)

    def wrap_ddp(self, model: nn.Module) -> nn.Module:
        """The module to call in training: its gradients are the mean over all processes."""
        if self.processes == 1:
            return model
        if self._sync_batchnorm:
            convert_sync_batchnorm(model, self.device)
        ddp_model: nn.Module = self.accelerator.prepare_model(model)
        return ddp_model

    def without_grad_sync(self, ddp_model: nn.Module) -> AbstractContextManager[Any]:
        """Backward passes inside do not exchange their gradients yet."""
        return nullcontext() if self.processes == 1 else self.accelerator.no_sync(ddp_model)

    def all_reduce_sum(self, values: Sequence[float]) -> list[float]:
        """Each value summed over all processes."""
        if self.processes == 1:
            return list(values)
        summed = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(summed)
        return [float(value) for value in summed]

    def gather(self, value: T) -> list[T]:
        """The value of every process, by rank."""
        if self.processes == 1:
            return [value]
        gathered: list[T] = gather_object([value])
        return gathered

    def on_main_process(self, action: Callable[[], None]) -> None:
        """Runs an action in the main process while the others wait. If it raises, all processes raise.

        Raises:
            FassdError: the action's.
        """
        refusal = None
        if self.is_main_process:
            try:
                action()
            except FassdError as error:
                refusal = error
        refusals = self.gather(None if refusal is None else str(refusal))
        if refusal is not None:
            raise refusal
        if refusals[0] is not None:
            raise UsageError(refusals[0])

    @contextmanager
    def process_group(self) -> Iterator[None]:
        """Closes the process group at the end. If another process is lost, says what to do.

        Raises:
            PartnerLost: another process ended or cannot be reached.
        """
        try:
            yield
        except RuntimeError as error:
            if self.processes == 1 or not _is_about_partners(error):
                raise
            raise PartnerLost(
                f"process {self.rank} of {self.processes} lost contact with another one, which ended or cannot be "
                "reached; look above for its message, then start all of them again with --resume"
            ) from None
        finally:
            if self.processes > 1 and dist.is_initialized():
                dist.destroy_process_group()


def _check_launch(device: torch.device) -> None:
    """Refuses launcher settings that this training does not support, in every process."""
    for plugin in ("DEEPSPEED", "FSDP", "MEGATRON_LM"):
        if os.environ.get(f"ACCELERATE_USE_{plugin}", "").lower() == "true":
            raise UsageError(
                f"accelerate is set to use {plugin}, which fassd does not support: its networks fit any GPU; use "
                "'accelerate launch --multi_gpu' or torchrun"
            )
    processes, found = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if device.type == "cuda" and processes > max(1, found):
        raise UsageError(
            f"{processes} processes on this machine need a GPU each, but PyTorch finds {found}; start at most {found}"
        )


def _is_about_partners(error: RuntimeError) -> bool:
    """Whether an error is PyTorch's own distributed error, or one of its transport for CPUs."""
    text = str(error).lower()
    return isinstance(error, dist.DistError) or any(word in text for word in ("gloo", "nccl", "connection"))
