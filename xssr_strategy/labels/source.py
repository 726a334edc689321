"""Labels of the source: which images they belong to, and whether they are the labels that are drawn here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import find_images
from xssr_strategy.labels.layouts import KNOWN, FolderLayout, held_out_cases, labelled_layout, tell_unmatched_labels
from xssr_strategy.labels.reading import labelled_pair


@dataclass(frozen=True)
class SourceLabels:
    """What the source's labels are.

    Attributes:
        pairs: each labelled image, as ``labelled_pair`` makes it, sorted by image.
        held_out: images that the folder holds out as test cases, resolved; nothing may train on them.
    """

    pairs: Sequence[Mapping[str, str]] = ()
    held_out: frozenset[Path] = frozenset()


def read_source_labels(folder: Path, images: Mapping[str, Path], labels: Sequence[str]) -> SourceLabels:
    """The labelled images of the source without its test cases; no pixel is read.

    Test cases are those that ``test.txt`` or the layout holds out.

    Args:
        folder: images with labels in one of the layouts (:mod:`xssr_strategy.labels.layouts`), or labels alone, whose
            file names are the ids of ``images``. Of ``labels`` beside ``images``, the ``test.txt`` beside both counts.
        images: id -> path of the source's images; empty without a source.
        labels: names of the labels that are drawn here.

    Raises:
        UserError: no label of an image is there, a line of ``test.txt`` is no image, or the folder says that its
            labels have other names.
    """
    try:
        layout = labelled_layout(folder)
        if layout is None and folder.name == "labels":
            test = _test_cases(folder.parent, labelled_layout(folder.parent))
        else:
            test = _test_cases(folder, layout)
        found = find_images(folder, recursive=True) if layout is None else {}
    except UserError as error:
        raise UserError(f"--conf source_labels {error}") from error
    if layout is None:
        tell_unmatched_labels(folder, found, images)
        pairs = {images[image]: path for image, path in found.items() if image in images}
        names: dict[Path, tuple[str, ...]] = dict.fromkeys(pairs, ())
    else:
        if layout.label_names and layout.label_names != tuple(labels):
            raise UserError(
                f"--conf source_labels {folder}: its labels are {','.join(layout.label_names)}, but --conf labels is "
                f"{','.join(labels)}; give both the same names in the same order."
            )
        pairs = {layout.images[image]: path for image, path in layout.labels.items()}
        names = {layout.images[image]: layout.numbers.names_of(image, labels) for image in layout.labels}
    if not pairs:
        raise UserError(
            f"--conf source_labels {folder}: holds no label with the file name of an image of --conf source; name the "
            f"labels as their images, or lay the folder out as {KNOWN}."
        )
    kept = {image: path for image, path in pairs.items() if image.resolve() not in test}
    if not kept:
        raise UserError(f"--conf source_labels {folder}: all its labels are of test cases; shorten its test.txt.")
    listed = [labelled_pair(str(image), str(label), names[image]) for image, label in sorted(kept.items())]
    return SourceLabels(listed, test)


def _test_cases(folder: Path, layout: FolderLayout | None) -> frozenset[Path]:
    """The resolved images that ``test.txt`` of a folder, or its layout, holds out."""
    if layout is None:
        return frozenset()
    test = held_out_cases(folder, layout.images) | layout.test
    return frozenset(layout.images[image].resolve() for image in test)
