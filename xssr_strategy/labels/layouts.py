"""Where a folder keeps images and labels: the layouts that are known, told apart by what is in the folder.

images/ labels/                     equal names
*  labels/final/                    a MONAI Label studies folder
dataset.json with "training"        Medical Segmentation Decathlon, arXiv:1902.09063
imagesTr/ labelsTr/ [imagesTs/ labelsTs/]   nnU-Net: CASE_0000.nii.gz and CASE.nii.gz
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from xssr_strategy.errors import UserError, printable
from xssr_strategy.images.left_out import some
from xssr_strategy.images.listing import find_images, image_extension
from xssr_strategy.images.lists import is_named, read_ids, read_text, without_extension
from xssr_strategy.labels.dataset_names import dataset_names
from xssr_strategy.labels.records import FileNumbers, recorded_labels

logger = logging.getLogger(__name__)

KNOWN = (
    "images/ and labels/ with equal file names, a MONAI Label studies folder (labels/final), "
    "a Decathlon dataset.json, or nnU-Net's imagesTr/ and labelsTr/"
)
"""The layouts of labelled images, for people."""

_ABOUT = "dataset.json"
_CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


@dataclass(frozen=True)
class FolderLayout:
    """What is where.

    Attributes:
        images: id -> file, or folder of a DICOM series.
        labels: id -> label file, of the images that have one.
        label_places: id -> where its label is looked for, ``*`` being any image extension.
        test: ids that the layout itself holds out.
        label_names: names of the labels 1, 2, ...; empty if the layout does not say.
        recorded: id -> names of the numbers of its label, where they were noted with it.
        ignores: whether the number after the labels' is nnU-Net's ``ignore``: of voxels that nobody has looked at.
    """

    images: Mapping[str, Path]
    labels: Mapping[str, Path]
    label_places: Mapping[str, str]
    test: frozenset[str] = frozenset()
    label_names: tuple[str, ...] = ()
    recorded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    ignores: bool = False

    @property
    def numbers(self) -> FileNumbers:
        """What is known of the numbers in the label files."""
        return FileNumbers(self.label_names, self.ignores, self.recorded)


def labelled_layout(folder: Path) -> FolderLayout | None:
    """The layout of a folder made for images with labels, whether or not a label is there; None if it is none.

    Raises:
        UserError: no image, two with one id, a ``dataset.json`` that cannot be used, or images of several channels.
    """
    about = _about(folder / _ABOUT)
    train = folder / "imagesTr"
    if "training" in about and not about.keys() & {"channel_names", "file_ending"} and not _all_channel_0(train):
        return _decathlon(folder, about)
    if train.is_dir():
        return _nnunet(folder, about)
    final = folder / "labels" / "final"
    if final.is_dir() and (studies := _listed(folder)):
        beside = _beside(studies, final)
        return replace(beside, recorded=recorded_labels(folder, beside.labels))
    if (folder / "images").is_dir() and (folder / "labels").is_dir():
        return _beside(_some(folder / "images"), folder / "labels")
    return None


def plain_layout(folder: Path) -> FolderLayout:
    """Images without labels, in subfolders too; if all are in ``images``, ids do not repeat that name.

    Raises:
        UserError: no image, or two with one id.
    """
    images = _some(folder, recursive=True)
    if all(image.startswith("images/") for image in images):
        images = {image.removeprefix("images/"): path for image, path in images.items()}
    return FolderLayout(images, {}, {image: f"{folder / 'labels' / image}.*" for image in images})


def held_out_cases(folder: Path, images: Collection[str]) -> frozenset[str]:
    """The ids that ``test.txt`` of a folder names, one a line (:mod:`xssr_strategy.images.lists`).

    Raises:
        UserError: it is no text, or lines name none of the ``images``.
    """
    file = folder / "test.txt"
    return read_ids(file, images) if is_named(file) else frozenset()


def tell_unmatched_labels(folder: Path, labels: Mapping[str, Path], images: Collection[str]) -> None:
    """Tell in the log the labels whose names are those of no image: how many, and which."""
    others = [path.name for image, path in labels.items() if image not in images]
    if others:
        told = f"{folder}: {len(others)} of {len(labels)} labels have the name of no image and do not count"
        logger.warning("%s", printable(f"{told} ({some(others)}); name each as its image."))


def _beside(images: Mapping[str, Path], folder: Path) -> FolderLayout:
    """Labels in one folder, under the ids of their images."""
    found = _listed(folder) if folder.is_dir() else {}
    tell_unmatched_labels(folder, found, images)
    labels = {image: found[image] for image in images if image in found}
    return FolderLayout(images, labels, {image: f"{folder / image}.*" for image in images})


def _decathlon(folder: Path, about: Mapping[str, Any]) -> FolderLayout:
    file = folder / _ABOUT
    _one_channel(file, about)
    entries = about["training"]
    images: dict[str, Path] = {}
    labels: dict[str, Path] = {}
    for number, entry in enumerate(entries if isinstance(entries, list) else (), start=1):
        image, label = (_inside(file, number, entry, key) for key in ("image", "label"))
        if image.name.startswith("._"):  # what macOS adds to an archive
            continue
        if not (image.is_file() and image_extension(image)):
            raise UserError(f"{file}: {image} (training, entry {number}) is no image; add it or remove the entry.")
        name = without_extension(image.name)
        if name in images:
            raise UserError(
                f"{file}: {images[name]} and {image} have the same id {name}; rename or remove one of them."
            )
        images[name], labels[name] = image, label
    if not images:
        raise UserError(f'{file}: "training" lists no image; it holds {{"image": PATH, "label": PATH}} for each.')
    places = {name: str(label) for name, label in labels.items()}
    labels = {name: label for name, label in labels.items() if label.is_file()}
    names, ignores = dataset_names(file, about)
    return FolderLayout(images, labels, places, label_names=names, ignores=ignores)


def _inside(file: Path, number: int, entry: Any, key: str) -> Path:
    path = entry[key] if isinstance(entry, dict) and key in entry else None
    if not isinstance(path, str) or not path:
        raise UserError(f'{file}: training, entry {number} has no path "{key}"; add it or remove the entry.')
    if Path(path).is_absolute() or ".." in Path(path).parts:
        raise UserError(f"{file}: {path} (training, entry {number}) leads out of the folder; move the file into it.")
    return file.parent / path


def _nnunet(folder: Path, about: Mapping[str, Any]) -> FolderLayout:
    _one_channel(folder / _ABOUT, about)
    train = _beside(_cases(folder / "imagesTr"), folder / "labelsTr")
    names, ignores = dataset_names(folder / _ABOUT, about)
    test = FolderLayout({}, {}, {})
    if (folder / "imagesTs").is_dir() and (folder / "labelsTs").is_dir():
        test = _beside(_cases(folder / "imagesTs"), folder / "labelsTs")
    for case in sorted(train.images.keys() & test.images.keys()):
        raise UserError(f"{test.images[case]}: the case is in imagesTr too; remove it from one of the two.")
    return FolderLayout(
        images={**train.images, **test.images},
        labels={**train.labels, **test.labels},
        label_places={**train.label_places, **test.label_places},
        test=frozenset(test.images),
        label_names=names,
        ignores=ignores,
    )


def _cases(folder: Path) -> dict[str, Path]:
    """Case -> its only channel."""
    cases = {}
    for name, path in _some(folder).items():
        channel = _CHANNEL.fullmatch(name)
        if channel is None:
            raise UserError(f"{path}: nnU-Net calls an image CASE_0000; rename it, or list it in a Decathlon {_ABOUT}.")
        if channel["channel"] != "0000":
            raise UserError(f"{path}: only single-channel images can be used; keep channel _0000 alone.")
        cases[channel["case"]] = path
    return cases


def _all_channel_0(folder: Path) -> bool:
    """Whether images are called as in nnU-Net, whose first version has the Decathlon's dataset.json."""
    images = find_images(folder) if folder.is_dir() else {}
    return bool(images) and all(name.endswith("_0000") for name in images)


def _about(file: Path) -> dict[str, Any]:
    """Content of a dataset.json; empty if there is none."""
    if not is_named(file):
        return {}
    try:
        about = json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise UserError(f"{file}: is no JSON ({error}); mend it, or remove it if the images do not need it.") from error
    if not isinstance(about, dict):
        raise UserError(f"{file}: is no JSON object {{...}}; mend it, or remove it if the images do not need it.")
    return about


def _one_channel(file: Path, about: Mapping[str, Any]) -> None:
    for key in ("channel_names", "modality"):
        if key in about and isinstance(about[key], dict) and len(about[key]) > 1:
            raise UserError(
                f'{file}: "{key}" has {len(about[key])} entries, but only single-channel images can be used.'
            )


def _some(folder: Path, recursive: bool = False) -> dict[str, Path]:
    images = _listed(folder, recursive)
    if not images:
        raise UserError(f"{folder}: no image is there; put images (NIfTI, NRRD, MHA, PNG, JPEG, TIFF, DICOM) into it.")
    return images


def _listed(folder: Path, recursive: bool = False) -> dict[str, Path]:
    """``find_images``, but two files with one id are an error."""
    images = find_images(folder, recursive)
    first = {(path.parent, without_extension(path.name)): path for path in images.values()}
    for parent in sorted({path.parent for path in images.values()}):
        for path in sorted(parent.iterdir()):
            key = (parent, without_extension(path.name))
            if key in first and first[key] != path and image_extension(path) and path.is_file():
                raise UserError(f"{path}: {first[key].name} has the same id {key[1]}; rename or remove one of them.")
    return images
