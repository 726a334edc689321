"""What follows a mask from one slice of a volume to the next."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray


class FollowedSlice(NamedTuple):
    """What an engine found on a slice.

    Attributes:
        maps: float32 (labels, rows, columns), the probability of each label in [0, 1].
        found: bool (labels,), whether the engine still recognises what was drawn.
    """

    maps: NDArray[np.float32]
    found: NDArray[np.bool_]


class PropagationEngine(ABC):
    """Follows masks from a drawn slice through its neighbours, one after the other.

    Attributes:
        name: by which it is asked for, and which answers name.
    """

    name: ClassVar[str]

    @abstractmethod
    def follow(
        self, slices: NDArray[np.float32], masks: NDArray[np.bool_], spacing: Sequence[float]
    ) -> Iterator[FollowedSlice]:
        """Yield what is found on ``slices[1]``, ``slices[2]``, ... until the caller has enough.

        Args:
            slices: (slices, rows, columns) in [0, 1]; the first is the one that was drawn.
            masks: (labels, rows, columns) as drawn on ``slices[0]``; no two overlap.
            spacing: distance of rows and of columns, in mm.
        """
