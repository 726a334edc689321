"""The annotator's part, played over MONAI Label's REST interface with its own client."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from xssr_strategy.errors import UserError

_POLL = 0.5  # seconds


class RestAnnotator:
    """One person at a viewer.

    Args:
        url: of the server.
        name: the ``client_id`` that a viewer sends.
    """

    def __init__(self, url: str, name: str = "annotator") -> None:
        from monailabel.client import MONAILabelClient  # so that the other commands run without MONAI Label

        # A folder of its own: on one machine the client would save a mask over the server's temporary
        # file of the same name, which the server then removes.
        self._masks = tempfile.TemporaryDirectory(prefix="xssr-masks-")
        self.client = MONAILabelClient(url, tmpdir=self._masks.name, client_id=name)

    def state(self) -> dict[str, Any]:
        """``scoring.xssr`` of ``/info/``."""
        state: dict[str, Any] = self.client.info()["scoring"]["xssr"]
        return state

    def wait_until_ready(self, timeout: float, on_state: Callable[[dict[str, Any]], None] = lambda state: None) -> None:
        """Wait until the pool is embedded and ranked.

        Raises:
            UserError: it is not after ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        while (state := self.state())["state"] != "ready":
            on_state(state)
            if time.monotonic() > deadline:
                raise UserError(f"the pool was not ready after {timeout:.0f} s: {state}")
            time.sleep(_POLL)
        on_state(state)

    def next_sample(self, strategy: str = "xssr") -> dict[str, Any]:
        """The answer of the strategy; empty if nothing is left."""
        answer: dict[str, Any] = self.client.next_sample(strategy, {})
        return answer

    def submit(self, image: str, label: Path) -> None:
        """Submit the final label of an image."""
        self.client.save_label(image, str(label), tag="final")

    def train(self, timeout: float, model: str = "segmentation", **parameters: Any) -> None:
        """Train a model and wait for the end.

        Raises:
            UserError: the training failed, or took longer than ``timeout`` seconds.
        """
        self.client.train_start(model, parameters)
        deadline = time.monotonic() + timeout
        while (task := self.client.train_status())["status"] in ("SUBMITTED", "RUNNING"):
            if time.monotonic() > deadline:
                raise UserError(f"the training of '{model}' did not end within {timeout:.0f} s.")
            time.sleep(_POLL)
        if task["status"] != "DONE":
            raise UserError(f"the training of '{model}' ended as {task['status']}: {list(task['details'])[-3:]}")

    def segment(self, image: Path, model: str = "segmentation") -> Path:
        """Segment a file that is not in the pool; the mask is a temporary file of the caller."""
        mask, _ = self.client.infer(model, "", {}, file=str(image))
        return Path(mask)


def mean_dice(prediction: NDArray[Any], truth: NDArray[Any]) -> float:
    """Dice of each label of the truth, averaged; 1 where prediction and truth have no label at all."""
    scores = []
    for value in np.unique(truth[truth > 0]):
        one, other = prediction == value, truth == value
        scores.append(2.0 * float((one & other).sum()) / float(one.sum() + other.sum()))
    return float(np.mean(scores)) if scores else float(not prediction.any())


def unseen_dice(annotator: RestAnnotator, truths: Mapping[Path, Path]) -> float:
    """Mean Dice over images the server has never seen; image file -> label file, both NIfTI."""
    scores = []
    for image, truth in truths.items():
        mask = annotator.segment(image)
        scores.append(mean_dice(_voxels(mask), _voxels(truth)))
        mask.unlink()
    return float(np.mean(scores))


def _voxels(path: Path) -> NDArray[Any]:
    return np.asarray(nib.Nifti1Image.from_filename(path).dataobj)
