"""Of whom the images of a pool are, and what that means for a worklist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from xssr_strategy.errors import UserError
from xssr_strategy.images.lists import read_column
from xssr_strategy.images.patients import patient_of
from xssr_strategy.pool.studies import Studies

_ORDINALS = ("first", "second", "third")


def patients_of(studies: Studies, pool: Collection[str], table: Path | None) -> dict[str, str]:
    """image -> patient, of every image of the pool; the image's own id where nothing says of whom it is.

    Args:
        studies: folder or archive.
        pool: ids.
        table: CSV file with the columns ``image`` and ``patient``; without it DICOM's PatientID and BIDS' ``sub-``
            count.

    Raises:
        UserError: the table cannot be used, nothing says of whom the images are, or all are of one patient.
    """
    if table is not None:
        try:
            told = read_column(table, "patient", studies.images)
        except UserError as error:
            raise UserError(f"--patients {error}") from error
        by = f"--patients {table}"
    else:
        told, by = _found(studies, pool), "--per-patient"
    patients = {image: told.get(image, image) for image in pool}
    if not told.keys() & patients.keys():
        raise UserError(f"{by}: nothing says of whom an image is; name a CSV file image,patient with --patients.")
    if len(set(patients.values())) == 1 < len(patients):
        raise UserError(
            f"{by}: all {len(patients)} images are of one patient, '{min(patients.values())}'; name a CSV file "
            "image,patient with --patients."
        )
    return patients


def places_of_patients(picks: Sequence[str], labelled: Collection[str], patients: Mapping[str, str]) -> dict[str, str]:
    """pick -> a few words for its reason: the how manieth image of its patient it is, labelled ones included.

    >>> places_of_patients(["b", "c"], ["a"], {"a": "Ann", "b": "Bo", "c": "Ann"})
    {'b': 'the first image of its patient', 'c': 'the second image of its patient, as every patient has one'}
    """
    counts = Counter(patients[image] for image in labelled if image in patients)
    words = {}
    for image in picks:
        place = counts[patients[image]]
        counts[patients[image]] += 1
        ordinal = _ORDINALS[place] if place < len(_ORDINALS) else f"{place + 1}th"
        why = ", as every patient has one" if place else ""
        words[image] = f"the {ordinal} image of its patient{why}"
    return words


def _found(studies: Studies, pool: Collection[str]) -> dict[str, str]:
    """What the archive, or the files, say."""
    if studies.archive is not None:
        series = studies.archive.series()
        named = {image: series[image].info.get("PatientID", "").strip() for image in pool if image in series}
    else:
        named = {image: patient_of(image, studies.images[image]) or "" for image in pool}
    return {image: patient for image, patient in named.items() if patient}
