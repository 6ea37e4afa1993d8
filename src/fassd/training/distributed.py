"""Devices and processes, by Hugging Face Accelerate. Nothing else of training knows how many there are.

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
from fassd.training.sync_batchnorm import synchronize_norms

T = TypeVar("T")

# Processes reach a common point at different times where one of them scored larger images.
_TIMEOUT = timedelta(minutes=10)


class PartnerLost(FassdError):
    """Another process of the same training ended, or cannot be reached."""


class Distributed:
    """The processes that train together, and this one's device.

    Args:
        device: as the user named it; of several processes with GPUs each takes its own.
        sync_norms: the norms share their statistics.

    Raises:
        UsageError: there are more processes than GPUs, or `accelerate` is set to share out the weights.

    Attributes:
        rank: of this process, from 0.
        processes: how many there are.
    """

    def __init__(self, device: torch.device, sync_norms: bool = True) -> None:
        _check_launch(device)
        self._sync_norms = sync_norms
        kwargs = [
            InitProcessGroupKwargs(timeout=_TIMEOUT),
            DistributedDataParallelKwargs(gradient_as_bucket_view=True),
        ]
        # Precision and compilation are the recipe's to say, whatever `accelerate config` noted.
        self.accelerator = Accelerator(
            cpu=device.type == "cpu", mixed_precision="no", dynamo_backend="no", kwargs_handlers=kwargs
        )
        self.rank, self.processes = self.accelerator.process_index, self.accelerator.num_processes
        self.device = device if self.processes == 1 else self.accelerator.device
        if self.device.type == "cuda" and self.device.index is not None:
            torch.cuda.set_device(self.device)

    @property
    def first(self) -> bool:
        """Whether this process writes the run's folder and talks to the user."""
        return bool(self.rank == 0)

    def spread(self, learner: nn.Module) -> nn.Module:
        """The module to call in training: its gradients come out as the mean over all processes."""
        if self.processes == 1:
            return learner
        if self._sync_norms:
            synchronize_norms(learner, self.device)
        spread: nn.Module = self.accelerator.prepare_model(learner)
        return spread

    def without_exchange(self, module: nn.Module) -> AbstractContextManager[Any]:
        """Gradients of backward passes inside are not exchanged yet."""
        return nullcontext() if self.processes == 1 else self.accelerator.no_sync(module)

    def total(self, values: Sequence[float]) -> list[float]:
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

    def lead(self, action: Callable[[], None]) -> None:
        """Lets the first process do something while the others wait; what it refuses, all refuse.

        Raises:
            FassdError: the action's.
        """
        refusal = None
        if self.first:
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
    def together(self) -> Iterator[None]:
        """Says what to do when another process is lost, and leaves the others cleanly."""
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
    """Refuses what a launcher may ask for and this training does not do, in all processes alike."""
    for plugin in ("DEEPSPEED", "FSDP", "MEGATRON_LM"):
        if os.environ.get(f"ACCELERATE_USE_{plugin}", "").lower() == "true":
            raise UsageError(
                f"accelerate is set to use {plugin}, which fassd does not: its networks fit any GPU; give "
                "'accelerate launch --multi_gpu', or use torchrun"
            )
    processes, found = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
    if device.type == "cuda" and processes > max(1, found):
        raise UsageError(
            f"{processes} processes on this machine want a GPU each, but PyTorch finds {found}; start no more than "
            f"{found}"
        )


def _is_about_partners(error: RuntimeError) -> bool:
    """PyTorch's own family of errors, or what its transport for CPUs says."""
    text = str(error).lower()
    return isinstance(error, dist.DistError) or any(word in text for word in ("gloo", "nccl", "connection"))
