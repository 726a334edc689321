"""Masks in the order in which people are to look at them, as files: a table, a page of pictures, MITK's task list."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from jinja2 import Environment, StrictUndefined
from numpy.typing import NDArray
from scipy import ndimage

from xssr_strategy.commands.mitk_tasks import SegmentationTask, write_task_list
from xssr_strategy.simulation.thumbnails import data_uri, label_colours


@dataclass(frozen=True)
class JudgedMask:
    """A mask and what is known of it.

    Attributes:
        image: id.
        path: of the image.
        scores: column -> what puts the mask into its place, in [0, 1]; the lower the more urgent.
        by_label: label -> its quality, or what else puts the mask into its place, in [0, 1].
        note: a sentence for people; empty if there is nothing to say.
        mask: its file; None if it has none.
        picture: PNG of the image with the outline of the mask; None for those that the page does not show.
        link: opens the image in a viewer; empty without one.
    """

    image: str
    path: Path
    scores: Mapping[str, float]
    by_label: Mapping[str, float]
    note: str = ""
    mask: Path | None = None
    picture: bytes | None = None
    link: str = ""

    @property
    def worst_first(self) -> list[tuple[str, float]]:
        """Labels and their qualities, the lowest first."""
        return sorted(self.by_label.items(), key=lambda one: (one[1], one[0]))

    @property
    def words(self) -> str:
        """The labels and their qualities in words, if there are several."""
        named = [f"{name} {quality:.2f}" for name, quality in self.worst_first]
        return ", ".join(named) if len(named) > 1 else ""


def note_of(mask: NDArray[np.uint8], labels: Sequence[str]) -> str:
    """What people are told of a mask (*spatial) of label numbers: that it is empty, or a label in several parts.

    >>> note_of(np.array([[1, 0, 1], [2, 2, 0]], np.uint8), ("liver", "spleen"))
    'liver in 2 parts'
    >>> note_of(np.zeros((2, 2), np.uint8), ("liver",))
    'the mask is empty'
    """
    if not mask.any():
        return "the mask is empty"
    around = np.ones((3,) * mask.ndim)  # corners touch, too
    counts = {name: ndimage.label(mask == number, around)[1] for number, name in enumerate(labels, start=1)}
    return ", ".join(f"{name} in {count} parts" for name, count in counts.items() if count > 1)


def page_of(table: Path) -> Path:
    """Where the page is written."""
    return table.with_suffix(".html")


def task_list_of(table: Path) -> Path:
    """Where the task list is written."""
    return table.with_suffix(".mitk.json")


def masks_of(table: Path) -> Path:
    """The folder where masks are written."""
    return table.with_suffix(".masks")


def write_table(file: Path, masks: Sequence[JudgedMask], by_label: str) -> None:
    """A row for each mask: rank, image, path, scores, ``by_label`` with the lowest label first, mask, note."""
    columns = list(masks[0].scores) if masks else []
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("rank", "image", "path", *columns, by_label, "mask", "note"))
        for rank, one in enumerate(masks, start=1):
            scores = (f"{one.scores[column]:.4f}" for column in columns)
            labels = " ".join(f"{name}={quality:.4f}" for name, quality in one.worst_first)
            writer.writerow((rank, one.image, one.path, *scores, labels, one.mask or "", one.note))


def write_page(file: Path, title: str, advice: str, masks: Sequence[JudgedMask], labels: Sequence[str]) -> None:
    """A page of those masks that have a picture, with the colours of ``labels``; it needs no other file, no network."""
    template = files("xssr_strategy.commands").joinpath("review.html.jinja").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    shown = [(rank, one, data_uri(one.picture)) for rank, one in enumerate(masks, start=1) if one.picture]
    page = environment.from_string(template).render(
        title=title, advice=advice, shown=shown, count=len(masks), colours=label_colours(labels)
    )
    file.write_text(page, encoding="utf-8")


def write_tasks(file: Path, name: str, masks: Sequence[JudgedMask]) -> None:
    """A task list of those masks that have a file, to begin with."""
    tasks = [
        SegmentationTask(one.path, one.image, ", ".join(filter(None, (one.words, one.note))), one.mask)
        for one in masks
        if one.mask
    ]
    write_task_list(file, name, tasks)
