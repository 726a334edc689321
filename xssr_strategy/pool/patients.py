"""Of whom the images of a pool are, and what that means for a worklist."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from xssr_strategy.archive.pool import ArchivePool
from xssr_strategy.embedding.store import EmbeddingStore
from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import fingerprint
from xssr_strategy.images.lists import read_column, read_table
from xssr_strategy.images.patients import patient_of
from xssr_strategy.pool.studies import Studies
from xssr_strategy.settings import Settings

_ORDINALS = ("first", "second", "third")
_FOUND = "patients"  # the store's note: image -> state of its file, and the patient that it names


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
    return _checked(pool, told, by, "--patients")


def check_table(table: Path | None, images: Mapping[str, Path]) -> None:
    """Refuse a table that a server cannot use, before it starts.

    Raises:
        UserError: it cannot be read, or a line names no image.
    """
    if table is not None:
        try:
            read_column(table, "patient", images)
        except UserError as error:
            raise UserError(f"--conf patients {error}") from error


def learn_patients(
    pool: Mapping[str, Path], settings: Settings, store: EmbeddingStore, archive: ArchivePool | None
) -> dict[str, str] | None:
    """image -> patient, as :func:`patients_of`, for a server; None if it does not go by patients.

    A file is opened once, and again when it has changed; what it said stands in the store.

    Args:
        pool: id -> path.
        archive: that the images are in, if they are.

    Raises:
        UserError: the table cannot be used, nothing says of whom the images are, or all are of one patient.
    """
    if not settings.per_patient:
        return None
    if settings.patients is None:
        before: dict[str, list[str]] = store.read_note(_FOUND) or {}
        now = {image: _looked_up(image, path, before.get(image), archive) for image, path in pool.items()}
        if now != before:
            store.note(_FOUND, now)
    return known_patients(pool, settings, store)


def patients_mark(store: EmbeddingStore, settings: Settings) -> tuple[str, int]:
    """A value that changes whenever what files said of their patients is written, or the table of patients is."""
    table = settings.patients
    return store.mark(_FOUND), table.stat().st_mtime_ns if table is not None and table.exists() else 0


def known_patients(pool: Collection[str], settings: Settings, store: EmbeddingStore) -> dict[str, str] | None:
    """What :func:`learn_patients` found, with no file opened but the table; images come and go under a table.

    Raises:
        UserError: as there.
    """
    if not settings.per_patient:
        return None
    if settings.patients is None:
        found = store.read_note(_FOUND) or {}
        return _checked(
            pool, {i: one[1] for i, one in found.items() if one[1]}, "--conf per_patient", "--conf patients"
        )
    try:
        lines, _ = read_table(settings.patients, ("image",), "patient", pool)
    except UserError as error:
        raise UserError(f"--conf patients {error}") from error
    told = {line.image: line.value for line in lines if line.value}
    return _checked(pool, told, f"--conf patients {settings.patients}", "--conf patients")


def _looked_up(image: str, path: Path, before: list[str] | None, archive: ArchivePool | None) -> list[str]:
    """State of a file, and the patient that it names or nothing."""
    series = None if archive is None else archive.series().get(image)
    told = "" if series is None else series.info.get("PatientID", "").strip()
    if told:
        return ["archive", told]
    try:
        state = fingerprint(path)
    except (OSError, UserError):  # gone, or not fetched
        return ["", ""]
    if before is not None and before[0] == state:
        return before
    return [state, patient_of(image, path) or ""]


def _checked(pool: Collection[str], told: Mapping[str, str], by: str, option: str) -> dict[str, str]:
    patients = {image: told.get(image, image) for image in pool}
    if not told.keys() & patients.keys():
        raise UserError(f"{by}: nothing says of whom an image is; name a CSV file image,patient with {option}.")
    if len(set(patients.values())) == 1 < len(patients):
        raise UserError(
            f"{by}: all {len(patients)} images are of one patient, '{min(patients.values())}'; name a CSV file "
            f"image,patient with {option}."
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
