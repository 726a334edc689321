"""Labels of the source: which images they belong to, and whether they are the labels that are drawn here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import find_images
from xssr_strategy.labels.layouts import KNOWN, held_out_cases, labelled_layout


def source_pairs(folder: Path, images: Mapping[str, Path], labels: Sequence[str]) -> list[dict[str, str]]:
    """The paths ``image`` and ``label`` of each labelled image of the source, sorted by image; no pixel is read.

    Test cases, which ``test.txt`` in the folder or its layout holds out, are left out.

    Args:
        folder: images with labels in one of the layouts (:mod:`xssr_strategy.labels.layouts`), or labels alone, whose
            file names are the ids of ``images``.
        images: id -> path of the source's images; empty without a source.
        labels: names of the labels that are drawn here.

    Raises:
        UserError: no label of an image is there, a line of ``test.txt`` is no image, or the folder says that its
            labels have other names.
    """
    try:
        layout = labelled_layout(folder)
        held_out = held_out_cases(folder, layout.images) | layout.test if layout else frozenset()
        found = find_images(folder, recursive=True) if layout is None else {}
    except UserError as error:
        raise UserError(f"--conf source_labels {error}") from error
    if layout is None:
        pairs = {images[image]: path for image, path in found.items() if image in images}
    else:
        if layout.label_names and layout.label_names != tuple(labels):
            raise UserError(
                f"--conf source_labels {folder}: its labels are {','.join(layout.label_names)}, but --conf labels is "
                f"{','.join(labels)}; give both the same names in the same order."
            )
        pairs = {layout.images[image]: path for image, path in layout.labels.items() if image not in held_out}
    if not pairs:
        raise UserError(
            f"--conf source_labels {folder}: holds no label with the file name of an image of --conf source; name the "
            f"labels as their images, or lay the folder out as {KNOWN}."
        )
    return [{"image": str(image), "label": str(label)} for image, label in sorted(pairs.items())]
