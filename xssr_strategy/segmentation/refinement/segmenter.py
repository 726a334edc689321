"""What segments the thing in a box."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray


class BoxSegmenter(ABC):
    """Segments what boxes in a picture surround.

    Attributes:
        name: which answers name.
    """

    name: ClassVar[str]

    @abstractmethod
    def segment(self, picture: NDArray[np.float32], boxes: NDArray[np.int64]) -> NDArray[np.float32]:
        """(boxes, rows, columns), the probability that a pixel is of the thing in each box.

        Args:
            picture: (rows, columns), or (3, rows, columns), in [0, 1].
            boxes: (boxes, 4): first row, first column, and the row and column after the last.
        """
