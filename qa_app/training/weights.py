"""A model that computes in a small number format while its weights are kept and changed in float32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

PRECISIONS = ("auto", "bf16", "f32")
State = dict[str, torch.Tensor]


def precision(wanted: str, device: torch.device) -> torch.dtype:
    """The format to compute in: bfloat16 where the device multiplies it itself, unless ``wanted`` says otherwise."""
    if wanted == "auto":
        # Elsewhere bfloat16 is emulated, and slower than float32.
        if device.type == "cuda":
            able = torch.cuda.is_bf16_supported(including_emulation=False)
        else:
            able = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return torch.bfloat16 if able else torch.float32
    return torch.bfloat16 if wanted == "bf16" else torch.float32


class ExactWeights:
    """The float32 weights of ``model``, which is turned to ``dtype`` and computes with copies of them.

    Small steps would be lost in bfloat16's eight bits; added up in float32 they are not. Costs two bytes a weight more
    than float32 alone, and with ``average`` four more for a running mean of the weights, over the last ``horizon``
    steps with weights that fade.
    """

    def __init__(self, model: torch.nn.Module, dtype: torch.dtype, *, average: bool, horizon: int) -> None:
        exact = {name: parameter.detach().float().clone() for name, parameter in model.named_parameters()}
        self._model = model.to(dtype)
        self._same = dtype is torch.float32
        parameters = dict(self._model.named_parameters())
        self.exact = {name: parameters[name] if self._same else tensor for name, tensor in exact.items()}
        self.average = {name: tensor.clone() for name, tensor in exact.items()} if average else None
        self._horizon = horizon

    def take_gradients(self) -> None:
        """Hands the model's gradients on to the float32 weights."""
        if self._same:
            return
        for name, parameter in self._model.named_parameters():
            self.exact[name].grad = None if parameter.grad is None else parameter.grad.float()
            parameter.grad = None

    def give_back(self, step: int) -> None:
        """Lets the model compute with the weights as they are after ``step`` steps."""
        if self.average is not None:
            share = 1 / min(step, self._horizon)
            torch._foreach_lerp_(list(self.average.values()), [one.detach() for one in self.exact.values()], share)
        if not self._same:
            self._load(self.exact)

    def best_guess(self) -> State:
        """The weights to score and to keep: their mean where there is one."""
        return {name: tensor.detach() for name, tensor in (self.average or self.exact).items()}

    @contextmanager
    def scored(self) -> Iterator[torch.nn.Module]:
        """The model with :meth:`best_guess` as its weights, in evaluation mode, for as long as the block lasts."""
        kept = {name: tensor.detach().clone() for name, tensor in self.exact.items()} if self.average else {}
        if self.average is not None:
            self._load(self.average)
        self._model.eval()
        try:
            with torch.no_grad():
                yield self._model
        finally:
            self._model.train()
            if kept:
                self._load(kept)

    def restore(self, exact: Mapping[str, torch.Tensor], average: Mapping[str, torch.Tensor] | None) -> None:
        """Continues with the weights of a checkpoint."""
        with torch.no_grad():
            for name, tensor in self.exact.items():
                tensor.copy_(exact[name])
            if self.average is not None and average is not None:
                for name, tensor in self.average.items():
                    tensor.copy_(average[name])
        if not self._same:
            self._load(self.exact)

    def _load(self, state: Mapping[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self._model.named_parameters():
                parameter.copy_(state[name])
