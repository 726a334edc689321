"""MONAI Label's InferTask: a volume of which some slices are drawn -> the mask of the whole volume."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import MetaTensor
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from numpy.typing import NDArray

from xssr_strategy.datastores.label_names import unknown_numbers
from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import fingerprint
from xssr_strategy.images.preprocessing import memory_told
from xssr_strategy.labels.names import IGNORE, segment_names
from xssr_strategy.labels.records import recorded_names
from xssr_strategy.labels.segments import SCRIBBLES
from xssr_strategy.segmentation.propagation.engine import PropagationEngine
from xssr_strategy.segmentation.propagation.engines import REGISTRATION, SAM2, told_before
from xssr_strategy.segmentation.propagation.files import AXES, orientations, propagate_label, read_volume
from xssr_strategy.segmentation.propagation.registration import Registration
from xssr_strategy.tasks.disconnect import stop_if_disconnected
from xssr_strategy.tasks.segmentation_infer import SegmentationInfer, write_result

logger = logging.getLogger(__name__)

PROPAGATE = "propagate"
"""The name by which viewers ask for it."""

AS_DRAWN = "as drawn"
"""The axis of a request that names none."""

LABEL_NAMES = "names_of_label"
_LABEL_STATE = "state_of_label"
"""In a request: names of the numbers in its label, where they were noted."""

_KEPT = (DefaultLabelTag.ORIGINAL, DefaultLabelTag.FINAL)  # the first of them that somebody drew


class PropagationInfer(InferTask):
    """Propagate the label that a request brings, or the one that is kept of the image.

    It is listed under scribbles, the one place where 3D Slicer sends what is drawn, and names no labels, since Slicer
    would run any model that does on every image that it opens.

    Args:
        segmentation: whose network, if one is published, says where a label ends.
        engines: name -> what makes an engine; a request that names none gets the first.
        side: of what SAM 2 sees, in pixels; 0 for that of its training.
    """

    def __init__(
        self,
        segmentation: SegmentationInfer,
        engines: Mapping[str, Callable[[], PropagationEngine]] | None = None,
        side: int = 0,
    ) -> None:
        self._engines = engines or {REGISTRATION: Registration}
        slow = told_before(next(iter(self._engines)), side)
        super().__init__(
            type=InferType.SCRIBBLES,
            labels=[],
            dimension=3,
            description="From one drawn slice, or several, to the whole volume" + (f". {slow}" if slow else ""),
            config={"engine": list(self._engines), "axis": [AS_DRAWN, *AXES]},
        )
        self._segmentation = segmentation

    def is_valid(self) -> bool:
        """It needs no network."""
        return True

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Propagate.

        Args:
            request: ``image``, path of the volume; ``label``, path of its label; ``label_info``, names of the label's
                segments in the order of their numbers; ``selected_label_name``, the one of them that is to be
                propagated, by default all; ``engine``, name of what follows the slices; ``axis``, how the drawn slices
                lie, by default as they seem to; ``result_extension`` and the like.

        Returns:
            The mask's file, and what is told of it: ``engine``, ``seconds``, ``orientation`` and ``drawn`` (places of
            the drawn slices), ``filled`` (how many more hold a label), ``notes``, and ``label_names`` for the viewer.

        Raises:
            UserError: there is no label, it does not fit the volume, or there is nothing to propagate.
        """
        if not request.get("label"):
            raise UserError("there is nothing to propagate: send the drawn slices as label, or submit them first")
        path, label = Path(request["image"]), Path(request["label"])
        began = time.perf_counter()
        engine, axis, labels = self._engine(request), _axis(request), tuple(self._segmentation.labels)
        names = request[LABEL_NAMES] if LABEL_NAMES in request else drawn_names(request, labels)
        try:
            with memory_told(path):
                volume = read_volume(path)
                found = propagate_label(
                    volume,
                    path,
                    label,
                    labels,
                    engine,
                    names,
                    self._segmentation.preset,
                    lambda: self._expected(volume, path),
                    axis,
                    stop_if_disconnected,
                )
        except UserError as error:  # a label that was sent has a name that says nothing
            raise UserError(str(error).removeprefix(f"{label}: ")) from None
        if request.get(_LABEL_STATE, "") not in ("", fingerprint(label)):
            raise UserError("the label that is kept of this image was replaced meanwhile: ask again")
        told = {
            "engine": engine.name,
            "seconds": round(time.perf_counter() - began, 2),
            "orientation": orientations(volume.affine.numpy())[found.axis],
            "drawn": list(found.drawn),
            "filled": found.filled,
            "notes": list(found.notes),
            "label_names": dict(self._segmentation.labels),
        }
        return write_result(found.mask, volume, path, request), told

    def _engine(self, request: Mapping[str, Any]) -> PropagationEngine:
        """The engine of a request."""
        name = _chosen(request, "engine") or next(iter(self._engines))
        if name not in self._engines:
            hint = "" if SAM2 in self._engines else "; sam2 needs the server's --conf sam_weights"
            raise UserError(f"engine: '{name}' is not one of {', '.join(self._engines)}{hint}")
        return self._engines[name]()

    def _expected(self, volume: MetaTensor, path: Path) -> NDArray[np.uint8] | None:
        """What the published network makes of the volume; None without one that was trained under these settings."""
        try:
            with memory_told(path):
                return self._segmentation.mask_of(volume, path)
        except UserError as error:
            logger.info("No network says where the label ends: %s", error)
            return None


def _axis(request: Mapping[str, Any]) -> str | None:
    """How the drawn slices lie; None for as they seem to."""
    axis = _chosen(request, "axis") or AS_DRAWN
    if axis not in (AS_DRAWN, *AXES):
        raise UserError(f"axis: '{axis}' is not one of {', '.join((AS_DRAWN, *AXES))}")
    return None if axis == AS_DRAWN else axis


def _chosen(request: Mapping[str, Any], key: str) -> str:
    """A choice; 3D Slicer sends a menu back as a list or as what was chosen. Empty if there is none."""
    asked = request.get(key) or ""
    return str(asked[0] if isinstance(asked, list) and asked else asked)


def drawn_names(request: Mapping[str, Any], labels: Sequence[str]) -> tuple[str, ...]:
    """Names of the numbers in a label that a viewer sends, ``ignore`` for what is not to be propagated.

    3D Slicer sends all segments and says which one is selected. What is painted with its scribbles' brush counts as the
    selected segment if it is foreground.

    Returns:
        Empty if the viewer does not name the segments: the numbers are then those of the labels.

    >>> drawn_names({"label_info": [{"name": "liver"}, {"name": "Tumour"}]}, ["liver", "tumour"])
    ('liver', 'Tumour')
    >>> segments = [{"name": "liver"}, {"name": "tumour"}, {"name": "foreground_scribbles"}]
    >>> drawn_names({"label_info": segments, "selected_label_name": "tumour"}, ["liver", "tumour"])
    ('ignore', 'tumour', 'tumour')
    """
    called = segment_names(request.get("label_info"))
    selected = str(request.get("selected_label_name") or "").strip()
    names = []
    for number in range(1, max(called, default=0) + 1):
        name = called.get(number, IGNORE).strip()
        if name in SCRIBBLES:
            name = selected if name.startswith("foreground") and selected else IGNORE
        names.append(name if not selected or name.lower() == selected.lower() else IGNORE)
    if len(labels) == 1:  # whatever it is called
        names = [IGNORE if name.lower() == IGNORE else labels[0] for name in names]
    return tuple(names)


def with_kept_label(request: Mapping[str, Any], datastore: Datastore, labels: Sequence[str]) -> dict[str, Any]:
    """The request with the label that is kept of its image, if it brings none; with tag ``original`` before others.

    Raises:
        UserError: nobody knows what the numbers of that label mean.
    """
    image = str(request["image"])
    for tag in _KEPT if not request.get("label") else ():
        file = datastore.get_label_uri(image, tag)
        state = fingerprint(Path(file)) if file else ""  # who reads the file later may find another label
        info = datastore.get_label_info(image, tag) if file else {}
        if not file or "model" in info:  # noted by MONAI Label of a mask that a model made
            continue
        if reason := unknown_numbers(file, info, labels):
            raise UserError(reason)
        return {**request, "label": file, LABEL_NAMES: recorded_names(info, Path(file)), _LABEL_STATE: state}
    return dict(request)
