"""Domains: the images of one hospital or scanner, with the labels that play the annotator."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from xssr_strategy.errors import UserError
from xssr_strategy.images.lists import is_named, read_column
from xssr_strategy.images.patients import patients_by_image
from xssr_strategy.labels.formats import refuse_lossy_name
from xssr_strategy.labels.layouts import (
    KNOWN,
    FolderLayout,
    held_out_cases,
    labelled_layout,
    plain_layout,
)
from xssr_strategy.labels.reading import labelled_pair
from xssr_strategy.labels.records import FileNumbers


@dataclass(frozen=True)
class Domain:
    """Images and what is known about them.

    Which images are in the pool does not depend on which label files are there: only what was asked for counts.

    Attributes:
        name: last part of the folder's name, for the report.
        root: the folder.
        images: id -> file or folder of a series, sorted by id; test cases too.
        labels: id -> label file, of the images that have one.
        test: ids that are held out: never picked, never trained on, never used to choose a setting.
        label_names: names of the labels 1, 2, ...; empty if the folder does not say.
        sites: id -> site; the domain's name for images that ``sites.csv`` does not list.
        patients: id -> patient: what ``patients.csv`` says, or else, if files name one patient for several images
            (DICOM's PatientID, BIDS' ``sub-``), a name that these share; otherwise the image's own id.
        label_places: id -> where its label is looked for, ``*`` being any image extension.
        numbers: what the folder says of the numbers in its labels.
        kinds: id -> kind, such as film or portable, of the images that ``kinds.csv`` lists; told apart in the report.
        option: by which it was named, for messages.
    """

    name: str
    root: Path
    images: Mapping[str, Path]
    labels: Mapping[str, Path]
    test: frozenset[str]
    label_names: tuple[str, ...]
    sites: Mapping[str, str]
    patients: Mapping[str, str]
    label_places: Mapping[str, str]
    numbers: FileNumbers = field(default_factory=FileNumbers)
    kinds: Mapping[str, str] = field(default_factory=dict)
    option: str = "--target"

    def labelled(self, image: str, labels: Sequence[str]) -> dict[str, str]:
        """An image that has a label, and its label, as ``labelled_pair`` makes it.

        Args:
            labels: names of the labels of the training.
        """
        names = self.numbers.names_of(image, labels)
        return labelled_pair(str(self.images[image]), str(self.labels[image]), names)

    @property
    def pool(self) -> tuple[str, ...]:
        """Ids of the images that may be picked, sorted."""
        return tuple(image for image in self.images if image not in self.test)


def read_domain(path: Path, option: str, labelled: bool = True) -> Domain:
    """Look at a folder of images in one of the layouts (:mod:`xssr_strategy.labels.layouts`); no pixel is read.

    In each of them ``test.txt`` may hold out images (one id, file name or path a line), beside those of nnU-Net's
    ``imagesTs`` with ``labelsTs``, ``sites.csv`` (``image,site``) may tell where an image is from, ``kinds.csv``
    (``image,kind``) of what kind it is, and ``patients.csv`` (``image,patient``) of whom; of images that it does not
    name, the files say so (:mod:`xssr_strategy.images.patients`). The Decathlon's own test images have no labels and
    are not used. A pool may be empty: a folder may be all test cases.

    Args:
        path: the folder.
        option: by which it was named, such as ``--target``, for messages.
        labelled: whether labels are needed: at least one, and one for every test case. Without it any folder of images
            will do, and its subfolders count.

    Raises:
        UserError: no such folder, layout, image or label; a label that is a JPEG; two images with one id; a
            ``dataset.json``, ``test.txt``, ``sites.csv``, ``kinds.csv`` or ``patients.csv`` that cannot be read or
            names what is not there; a patient with images in the pool and among the test cases; images of several
            channels.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for part in ("images", "labels"):
    ...         (Path(folder) / part).mkdir()
    ...         for name in ("scan1", "scan2", "scan3"):
    ...             (Path(folder) / part / f"{name}.png").touch()
    ...     _ = (Path(folder) / "test.txt").write_text("scan3")
    ...     domain = read_domain(Path(folder), "--target")
    >>> domain.pool  # what may be picked
    ('scan1', 'scan2')
    >>> sorted(domain.test)  # what judges
    ['scan3']
    """
    path = Path(path)
    try:
        if not path.is_dir():
            problem = "is a file, not a folder" if path.exists() else "does not exist"
            raise UserError(f"{path}: {problem}; name a folder that holds images.")
        layout = labelled_layout(path)
        if layout is None and labelled:
            raise UserError(f"{path}: no labels are found; lay the folder out as {KNOWN}.")
        return replace(_domain(path, layout or plain_layout(path), labelled), option=option)
    except UserError as error:
        raise UserError(f"{option} {error}") from error


def refuse_other_names(domain: Domain, labels: Sequence[str], target: Domain) -> None:
    """Refuse a domain whose numbers would be taken for other labels than its folder says.

    Labels that are called otherwise on purpose, or merged by a single new name, are no mistake.

    Args:
        domain: what is looked at.
        labels: names of the labels of the training.
        target: whose names the labels have where nobody said otherwise.

    Raises:
        UserError: a name has one number here and another there.
    """
    own, wanted, first = (
        [name.lower() for name in names] for names in (domain.label_names, labels, target.label_names)
    )
    moved = any(name in own and own.index(name) != place for place, name in enumerate(wanted))
    merged = len(own) > len(wanted) == 1 and wanted[0] in own
    foreign = len(wanted) > 1 and bool(own and first) and own != first
    if moved or merged or foreign:
        raise UserError(
            f"{domain.option} {domain.root}: its labels 1, 2, ... are {','.join(domain.label_names)}, but those of the "
            f"training are {','.join(labels)}; give both the same names in the same order."
        )


def without_label(domain: Domain) -> list[str]:
    """Images of the pool for which there is no label, sorted: annotating them will fail."""
    return [image for image in domain.pool if image not in domain.labels]


def held_out(domain: Domain, fraction: float = 0.2, seed: int = 0) -> Domain:
    """The domain with a test set: its own, or else all images of patients drawn with the seed.

    That a fifth is held out where nothing is said is our choice. The draw is among all images, with or without a
    label, and looks at nothing but ids and patients, so it is the same however the files are listed.

    Args:
        fraction: of the patients, between 0 and 1, rounded to whole patients and at least one.

    Raises:
        UserError: an image that is drawn has no label, or all images are of one patient.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for part in ("images", "labels"):
    ...         (Path(folder) / part).mkdir()
    ...         for name in ("scan1", "scan2", "scan3"):
    ...             (Path(folder) / part / f"{name}.png").touch()
    ...     domain = held_out(read_domain(Path(folder), "--target"), fraction=0.34)
    >>> len(domain.pool), len(domain.test)  # there is no test.txt: one image is drawn
    (2, 1)
    """
    if domain.test:
        return domain
    everybody = sorted(set(domain.patients.values()))
    if len(everybody) == 1 < len(domain.images):
        raise UserError(
            f"{domain.root}: all {len(domain.images)} images are of one patient, who cannot be in both the pool and "
            f"the test cases; say in {domain.root / 'patients.csv'} (image,patient) of whom they are, or name another "
            "domain by --test."
        )
    count = max(1, round(fraction * len(everybody)))
    patients = set(np.random.default_rng(seed).permutation(everybody)[:count].tolist())
    drawn = [image for image in sorted(domain.images) if domain.patients[image] in patients]
    for image in drawn:
        if image not in domain.labels:
            raise UserError(
                f"{domain.root}: the image {image} is drawn as a test case but has no label; "
                f"add {domain.label_places[image]} or choose test cases in test.txt."
            )
    return replace(domain, test=frozenset(drawn))


def _domain(path: Path, layout: FolderLayout, labelled: bool) -> Domain:
    for image in layout.images:
        if image.encode(errors="replace") != os.fsencode(image):
            shown = os.fsencode(image).decode(errors="backslashreplace")
            raise UserError(f"{path}: the file name {shown} is not UTF-8; rename it.")
    test = layout.test | held_out_cases(path, layout.images)
    if labelled and not layout.labels:
        place = layout.label_places[min(layout.images)]
        raise UserError(
            f"{path}: not one of the {len(layout.images)} images has a label; the first belongs at {place}."
        )
    for image in sorted(test - layout.labels.keys()) if labelled else ():
        listed = "imagesTs" if image in layout.test else "test.txt"
        raise UserError(
            f"{path}: the test case {image} has no label; add {layout.label_places[image]} or take it out of {listed}."
        )
    for label in layout.labels.values() if labelled else ():
        refuse_lossy_name(label)
    name = path.name if path.name not in ("", "..") else path.resolve().name
    told = _column(path / "patients.csv", "patient", layout)
    patients = patients_by_image(dict(sorted(layout.images.items())), told)
    _refuse_shared_patients(path, patients, test, told)
    return Domain(
        name=name,
        root=path,
        images=dict(sorted(layout.images.items())),
        labels=dict(sorted(layout.labels.items())),
        test=test,
        label_names=layout.label_names,
        sites=dict.fromkeys(sorted(layout.images), name) | _column(path / "sites.csv", "site", layout),
        patients=patients,
        label_places=layout.label_places,
        numbers=layout.numbers,
        kinds=_column(path / "kinds.csv", "kind", layout),
    )


def _refuse_shared_patients(
    path: Path, patients: Mapping[str, str], test: frozenset[str], told: Mapping[str, str]
) -> None:
    """Images of one patient resemble each other: a test case would be judged by a network that has seen it."""
    tested = {patients[image]: image for image in sorted(test)}
    for image, patient in patients.items():
        if image in test or patient not in tested:
            continue
        remedy = "name all images of a patient in test.txt or none"
        if image in told and tested[patient] in told:
            raise UserError(
                f"{path / 'patients.csv'}: the patient {patient} has the test case {tested[patient]} and, in the pool, "
                f"{image}; {remedy}."
            )
        raise UserError(
            f"{path}: the test case {tested[patient]} and, in the pool, {image} are of one patient by their files "
            f"(PatientID, sub-); {remedy}, or say in {path / 'patients.csv'} (image,patient) of whom they are."
        )


def _column(file: Path, column: str, layout: FolderLayout) -> dict[str, str]:
    """Image -> what a table with the columns ``image`` and ``column`` says of it; empty without the table."""
    return read_column(file, column, layout.images) if is_named(file) else {}
