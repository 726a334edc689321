"""Where the large arrays live: NumPy in memory, or torch on a device, behind one small set of operations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


class Backend(ABC):
    """float32 arrays and what is done with them.

    ``xp`` is the module of the arrays. The selectors call only what ``numpy`` and ``torch`` spell alike:
    ``minimum``, ``maximum``, ``add``, ``subtract``, ``multiply``, ``sqrt``, ``matmul`` with ``out=``; ``amin``,
    ``amax`` and ``argmax`` with an axis.
    """

    xp: Any

    @abstractmethod
    def array(self, values: NDArray[Any]) -> Any:
        """A NumPy array on this backend, its dtype kept."""

    @abstractmethod
    def numpy(self, values: Any) -> NDArray[Any]:
        """An array of this backend in memory."""

    @abstractmethod
    def full(self, shape: tuple[int, ...], value: float) -> Any:
        """float32 array of one value."""

    @abstractmethod
    def empty(self, shape: tuple[int, ...]) -> Any:
        """float32 array of no particular values."""

    @abstractmethod
    def columns(self, rows: Any) -> Any:
        """The transpose of (P, D), contiguous."""

    @abstractmethod
    def largest(self, values: Any, count: int) -> IntArray:
        """(count,) positions, in memory and in no particular order, of the largest of (N,) values."""

    def flatnonzero(self, mask: Any) -> IntArray:
        """Positions at which the (N,) mask is true, ascending, in memory."""
        return np.flatnonzero(self.numpy(mask))


class NumpyBackend(Backend):
    """Arrays in memory; matrix products by NumPy's BLAS."""

    xp = np

    def array(self, values: NDArray[Any]) -> NDArray[Any]:
        return values

    def numpy(self, values: NDArray[Any]) -> NDArray[Any]:
        return values

    def full(self, shape: tuple[int, ...], value: float) -> NDArray[np.float32]:
        return np.full(shape, value, dtype=np.float32)

    def empty(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        return np.empty(shape, dtype=np.float32)

    def columns(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.ascontiguousarray(rows.T)

    def largest(self, values: NDArray[Any], count: int) -> IntArray:
        return np.argpartition(values, -count)[-count:]


class TorchBackend(Backend):
    """Arrays on a torch device.

    Args:
        device: such as ``"cuda"`` or ``"cpu"``.

    Raises:
        ValueError: torch cannot use that device here.
    """

    xp = torch

    def __init__(self, device: str) -> None:
        try:
            self._device = torch.zeros(1, device=device).device
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise ValueError(f"device {device!r} cannot be used here ({reason}): name another or None.") from None

    def array(self, values: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(self._device)

    def numpy(self, values: torch.Tensor) -> NDArray[Any]:
        return values.cpu().numpy()

    def full(self, shape: tuple[int, ...], value: float) -> torch.Tensor:
        return torch.full(shape, value, dtype=torch.float32, device=self._device)

    def empty(self, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.empty(shape, dtype=torch.float32, device=self._device)

    def columns(self, rows: torch.Tensor) -> torch.Tensor:
        return rows.T.contiguous()

    def largest(self, values: torch.Tensor, count: int) -> IntArray:
        return torch.topk(values, count, sorted=False).indices.cpu().numpy()


def backend_on(device: str | None) -> Backend:
    """NumPy for None, else torch on that device."""
    return NumpyBackend() if device is None else TorchBackend(device)
