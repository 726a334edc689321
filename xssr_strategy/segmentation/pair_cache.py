"""Where a training keeps the images that it has read: in memory while there is room, on disk, or nowhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Protocol

import torch
from monai.data import Dataset, PersistentDataset
from monai.data.utils import pickle_hashing
from monai.transforms import Compose, Transform
from torch import Tensor

Read = Callable[[Transform], Compose]
"""From the first step of a chain of transforms, which reads files, to the whole chain."""


class PairCache(Protocol):
    """Makes datasets whose files are read at most once."""

    def dataset(self, items: Sequence[Mapping[str, str]], read: Transform, transforms: Read) -> Dataset:
        """The items, read and transformed when they are asked for.

        Args:
            items: mappings with paths.
            read: from an item to tensors, the same each time; its ``preset`` and ``plan`` say how.
            transforms: from the reading step to the whole chain, which may draw random numbers.
        """


class NoCache:
    """Reads every image each time."""

    def dataset(self, items: Sequence[Mapping[str, str]], read: Transform, transforms: Read) -> Dataset:
        """As :class:`PairCache`."""
        return Dataset(items, transforms(read))


class DiskCache:
    """Keeps what was read in a folder while there is room, and reads the rest each time.

    Memory holds no more than a batch, however many images there are.

    Args:
        folder: made where missing; the caller removes it.
        room: bytes (our choice).
    """

    def __init__(self, folder: Path, room: int = 32 * 2**30) -> None:
        self._folder, self._room = folder, room

    def dataset(self, items: Sequence[Mapping[str, str]], read: Transform, transforms: Read) -> Dataset:
        """As :class:`PairCache`."""
        # The name of a file tells what was done to it: two datasets may prepare the same image differently.
        return _BoundedDataset(self, items, transforms(read), cache_dir=self._folder, hash_transform=pickle_hashing)

    def takes(self, name: str) -> bool:
        """Whether what is called so is kept, or may be."""
        return (self._folder / name).is_file() or self._used() < self._room

    def _used(self) -> int:
        return sum(file.stat().st_size for file in self._folder.glob("*.pt"))


class _BoundedDataset(PersistentDataset):
    """As MONAI's, but where the cache has no room left, an image is read and not kept."""

    def __init__(self, cache: DiskCache, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._cache = cache

    def _cachecheck(self, item_transformed: Any) -> Any:
        if self._cache.takes(f"{self.hash_func(item_transformed).decode()}{self.transform_hash}.pt"):
            return super()._cachecheck(item_transformed)
        return self._pre_transform(deepcopy(item_transformed))


class MemoryCache:
    """Keeps what was read on a device while there is room, and reads the rest each time.

    One for all trainings of a process: strategies that compete for the same images share them.

    Args:
        device: where tensors are kept.
        room: bytes (our choice).
    """

    def __init__(self, device: torch.device, room: int = 4 * 2**30) -> None:
        self._device = device
        self._room = room
        self._kept: dict[tuple[Any, ...], dict[str, Tensor]] = {}

    @property
    def held(self) -> int:
        """Bytes of the tensors that are kept."""
        return sum(value.nbytes for item in self._kept.values() for value in item.values())

    def dataset(self, items: Sequence[Mapping[str, str]], read: Transform, transforms: Read) -> Dataset:
        """As :class:`PairCache`."""
        return Dataset(items, transforms(_Remembering(read, self)))

    def get(self, item: Mapping[str, str], read: Transform) -> dict[str, Tensor]:
        """The tensors of an item, from memory if they are there; the caller may change them."""
        key = (*sorted(item.items()), type(read), getattr(read, "preset", None), getattr(read, "plan", None))
        tensors = self._kept[key] if key in self._kept else self._keep(key, read(item))
        return {name: value.to(self._device).clone() for name, value in tensors.items()}

    def _keep(self, key: tuple[Any, ...], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        size = sum(value.nbytes for value in tensors.values())
        if size <= self._room:
            self._room -= size
            self._kept[key] = tensors = {name: value.to(self._device) for name, value in tensors.items()}
        return tensors


class _Remembering(Transform):
    def __init__(self, read: Transform, cache: MemoryCache) -> None:
        self._read, self._cache = read, cache

    def __call__(self, data: Mapping[str, str]) -> dict[str, Tensor]:
        return self._cache.get(data, self._read)
