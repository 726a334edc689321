"""Data sets in the layouts of other tools, each with its ``dataset.json``.

nnunet      imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz, [imagesTs/, labelsTs/], splits_final.json (nnU-Net 2)
decathlon   imagesTr/CASE.nii.gz, labelsTr/CASE.nii.gz; lists and folds in dataset.json (Medical Segmentation Decathlon
            and Auto3DSeg, arXiv:1902.09063)
nifti       images/CASE.nii.gz, labels/CASE.nii.gz

Pictures are PNG files in place of ``.nii.gz``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sklearn.model_selection import GroupKFold

from xssr_strategy.errors import UserError
from xssr_strategy.exchange.cases import Case, read_labelled, write_image, write_label, write_whole
from xssr_strategy.storage.atomic_files import write_atomic

FOLDS = 5
"""Of nnU-Net and Auto3DSeg; fewer where there are fewer patients."""


@dataclass(frozen=True)
class LabelledSet:
    """What is exported.

    Attributes:
        name: of the data set.
        pairs: id -> image and label, as ``labelled_pair`` makes them; test cases too.
        labels: names of the labels 1, 2, ...
        test: ids that are held out.
        patients: id -> patient; no patient is in two folds.
        modality: of the images, such as MRI.
    """

    name: str
    pairs: Mapping[str, Mapping[str, str]]
    labels: tuple[str, ...]
    test: frozenset[str]
    patients: Mapping[str, str]
    modality: str


@dataclass
class _Written:
    """What the files have in common, and which cases there are."""

    train: list[str]
    test: list[str]
    ending: str = ""
    channels: int = 0
    ignored: bool = False

    def add(self, image: str, case: Case, held_out: bool) -> None:
        """Note a case.

        Raises:
            UserError: it cannot be in one data set with those before.
        """
        if self.ending and (self.ending, self.channels) != (case.ending, len(case.image)):
            raise UserError(
                f"{image}: has {len(case.image)} channels as {case.ending}, the cases before {self.channels} as "
                f"{self.ending}; export them apart."
            )
        self.ending, self.channels = case.ending, len(case.image)
        self.ignored |= case.ignored
        (self.test if held_out else self.train).append(image)


Progress = Callable[[int, int], None]
Failed = dict[str, str]


def write_nnunet(labelled: LabelledSet, out: Path, progress: Progress) -> Failed:
    """Write a folder for ``nnUNet_raw``; id -> why a case is left out.

    Raises:
        UserError: cases that cannot be in one data set, or none can be used.
        OSError: the folder cannot be written.
    """

    def write(name: str, case: Case, held_out: bool) -> None:
        part = "Ts" if held_out else "Tr"
        write_image(case, out / f"images{part}" / name)
        write_label(case, out / f"labels{part}" / name)

    written, failed = _cases(labelled, write, progress)
    numbers = {"background": 0, **{name: number for number, name in enumerate(labelled.labels, start=1)}}
    if written.ignored:
        numbers["ignore"] = len(numbers)
    channels = ("R", "G", "B") if written.channels == 3 and written.ending == ".png" else ()
    about = {
        "channel_names": dict(enumerate(channels or [labelled.modality] * written.channels)),
        "labels": numbers,
        "numTraining": len(written.train),
        "file_ending": written.ending,
        "name": labelled.name,
    }
    _write_json(out / "dataset.json", about)
    if folds := folds_of(written.train, labelled.patients):
        names = {image: plain_name(image) for image in written.train}
        splits = [
            {
                "train": [names[image] for image in written.train if image not in fold],
                "val": [names[image] for image in written.train if image in fold],
            }
            for fold in folds
        ]
        _write_json(out / "splits_final.json", splits)
    return failed


def write_decathlon(labelled: LabelledSet, out: Path, progress: Progress) -> Failed:
    """Write a task of the Decathlon, with the folds that Auto3DSeg reads; otherwise as :func:`write_nnunet`."""

    def write(name: str, case: Case, held_out: bool) -> None:
        part = "Ts" if held_out else "Tr"
        write_whole(case, out / f"images{part}" / name)
        write_label(case, out / f"labels{part}" / name)

    written, failed = _cases(labelled, write, progress)
    numbers = {"0": "background", **{str(number): name for number, name in enumerate(labelled.labels, start=1)}}
    if written.ignored:
        numbers[str(len(numbers))] = "ignore"
    folds = folds_of(written.train, labelled.patients)

    def entry(image: str, part: str) -> dict[str, Any]:
        file = plain_name(image) + written.ending
        files = {"image": f"./images{part}/{file}", "label": f"./labels{part}/{file}"}
        number = next((number for number, ids in enumerate(folds) if image in ids), None)
        return files if number is None else {**files, "fold": number}

    about = {
        "name": labelled.name,
        "tensorImageSize": "3D" if written.ending == ".nii.gz" else "2D",
        "modality": {str(number): labelled.modality for number in range(written.channels)},
        "labels": numbers,
        "numTraining": len(written.train),
        "numTest": len(written.test),
        "training": [entry(image, "Tr") for image in written.train],
        "test": [entry(image, "Ts") for image in written.test],
    }
    _write_json(out / "dataset.json", about)
    return failed


def write_plain(labelled: LabelledSet, out: Path, progress: Progress) -> Failed:
    """Write equal names in two folders, and the test cases' in ``test.txt``; otherwise as :func:`write_nnunet`."""

    def write(name: str, case: Case, held_out: bool) -> None:
        write_whole(case, out / "images" / name)
        write_label(case, out / "labels" / name)

    written, failed = _cases(labelled, write, progress)
    if written.test:
        write_atomic(out / "test.txt", "".join(f"{plain_name(image)}\n" for image in written.test).encode())
    patients = [f"{plain_name(image)},{labelled.patients[image]}\n" for image in [*written.train, *written.test]]
    write_atomic(out / "patients.csv", "".join(["image,patient\n", *patients]).encode())
    return failed


WRITERS: Mapping[str, Callable[[LabelledSet, Path, Progress], Failed]] = {
    "nnunet": write_nnunet,
    "decathlon": write_decathlon,
    "nifti": write_plain,
}


def folds_of(images: Sequence[str], patients: Mapping[str, str]) -> list[frozenset[str]]:
    """The images that validate in each fold, by patient; none for fewer than two patients.

    >>> folds = folds_of(["a1", "a2", "b", "c"], {"a1": "Ann", "a2": "Ann", "b": "Bo", "c": "Cy"})
    >>> sorted(sorted(fold) for fold in folds)
    [['a1', 'a2'], ['b'], ['c']]
    """
    groups = [patients[image] for image in images]
    count = min(FOLDS, len(set(groups)))
    if count < 2:
        return []
    return [frozenset(images[row] for row in fold) for _, fold in GroupKFold(count).split(images, groups=groups)]


def plain_name(image: str) -> str:
    """The id as every tool takes it for a file's name.

    >>> plain_name("scan 7 (repeat)")
    'scan_7_repeat_'
    """
    return re.sub(r"[^\w.-]+", "_", image)


def _cases(
    labelled: LabelledSet, write: Callable[[str, Case, bool], None], progress: Progress
) -> tuple[_Written, Failed]:
    written, failed, names = _Written([], []), Failed(), dict[str, str]()
    for done, (image, pair) in enumerate(sorted(labelled.pairs.items()), start=1):
        if (name := plain_name(image)) in names:
            raise UserError(f"{image} and {names[name]} would both be called {name}; rename one.")
        names[name] = image
        try:
            case = read_labelled(pair, labelled.labels)
        except UserError as error:
            failed[image] = str(error)
        else:
            written.add(image, case, image in labelled.test)
            write(name, case, image in labelled.test)
        progress(done, len(labelled.pairs))
    if not written.train and not written.test:
        why = next(iter(failed.values()), "there is no label")
        raise UserError(f"nothing can be exported; the first problem: {why}")
    return written, failed


def _write_json(file: Path, values: Any) -> None:
    write_atomic(file, json.dumps(values, indent=2).encode())


def written_files(out: Path) -> Iterator[Path]:
    """What an export has made in a folder before."""
    for part in ("imagesTr", "labelsTr", "imagesTs", "labelsTs", "images", "labels", "dataset.json"):
        if (out / part).exists():
            yield out / part
