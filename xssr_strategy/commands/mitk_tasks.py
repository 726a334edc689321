"""MITK Segmentation Task Lists: images that are segmented one after the other in MITK Workbench.

The format is that of docs.mitk.org/2024.12/MITKSegmentationTaskListsPage.html, version 1.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from xssr_strategy.images.listing import is_dicom

_KIND, _VERSION = "MITK Segmentation Task List", 1


@dataclass(frozen=True)
class SegmentationTask:
    """An image to segment.

    Attributes:
        image: file, or folder of one DICOM series.
        name: what MITK shows.
        description: likewise.
        segmentation: a mask to begin with, if there is one.
    """

    image: Path
    name: str
    description: str = ""
    segmentation: Path | None = None


def write_task_list(file: Path, name: str, tasks: Sequence[SegmentationTask]) -> None:
    """Write a list.

    MITK saves what is drawn in a folder beside the list, of its name without the ending, as ``NAME.nrrd``. The folder
    is made, as MITK may not.

    Args:
        file: JSON file.
        name: of the list.
        tasks: in the order in which MITK offers them; their names differ.
    """
    results = file.resolve().with_suffix("")
    content = {
        "FileFormat": _KIND,
        "Version": _VERSION,
        "Name": name,
        "Tasks": [_described(task, results) for task in tasks],
    }
    results.mkdir(exist_ok=True)
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _described(task: SegmentationTask, results: Path) -> dict[str, str]:
    found = {"Name": task.name, "Image": str(_one_file(task.image)), "Result": str(results / f"{task.name}.nrrd")}
    if task.description:
        found["Description"] = task.description
    if task.segmentation is not None:
        found["Segmentation"] = str(task.segmentation.resolve())
    return found


def _one_file(image: Path) -> Path:
    """MITK takes a file of a DICOM series for the series."""
    return (min(filter(is_dicom, image.iterdir()), default=image) if image.is_dir() else image).resolve()
