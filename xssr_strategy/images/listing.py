"""Which images a folder holds, and whether one of them changed; nothing here opens a pixel."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from xssr_strategy.errors import UserError
from xssr_strategy.images.left_out import LeftOut, Told

_BLOCK = 1 << 20  # bytes read at once

EXTENSIONS: tuple[str, ...] = (
    ".nii.gz",
    ".nii",
    ".nrrd",
    ".mha",
    ".mhd",
    ".png",
    ".jpg",
    ".jpeg",
    ".tif",
    ".tiff",
    ".dcm",
)

_NOT_READ: tuple[str, ...] = (
    *(".bmp", ".gif", ".webp", ".jp2", ".j2k", ".jxl", ".heic", ".avi", ".mp4", ".svs"),
    *(".img", ".gipl", ".mgh", ".mgz", ".mnc", ".par", ".npy", ".npz", ".mat", ".h5"),
)
"""Endings of images that other software reads; the log tells them, and passes over what is no image in silence."""

_LABELS_FOLDER = "labels"  # where MONAI Label keeps the annotations of the images beside it
_DICOM_INDEX = "dicomdir"  # carries the DICOM magic but lists files instead of holding an image


def find_images(folder: Path, recursive: bool = False, told: Told | None = None) -> dict[str, Path]:
    """List the images of a folder.

    An image is a file with one of ``EXTENSIONS`` in any case, or a directory that directly holds DICOM files
    (a series). Hidden entries and directories called ``labels`` are passed over. The log tells how many others are
    left out, which and why: broken links, pipes, formats that are not read, names that are not UTF-8, folders with
    images that are not looked into. Of two files with the same id the first by name counts.

    Args:
        folder: where to look.
        recursive: look into subfolders too, also behind links that lead out of the folder, each once; without it only
            the folder's direct children count.
        told: given, the log tells only what has changed since the last listing with it.

    Returns:
        Image id -> path, sorted by id; empty if there is none. The id is the file name without its extension,
        as in MONAI Label's ``LocalDatastore``, or the name of the series directory; recursive ids are paths
        relative to ``folder`` in POSIX form.

    Raises:
        UserError: the folder is missing or no folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "does not exist"
        raise UserError(f"{folder}: {problem}; name a folder that holds images")
    images: dict[str, Path] = {}
    left_out = LeftOut(folder)
    for path in _walk(folder, recursive, left_out, _Walked(folder)):
        image_id = _image_id(path, folder)
        if image_id in images:
            left_out.add(path, f"{images[image_id]} has the same image id; rename one of them")
            continue
        images[image_id] = path
    left_out.tell(told)
    return dict(sorted(images.items()))


def image_extension(path: Path) -> str:
    """The entry of ``EXTENSIONS`` with which a file name ends (in any case), or an empty string."""
    name = path.name.lower()
    return next((extension for extension in EXTENSIONS if name.endswith(extension)), "")


def fingerprint(path: Path) -> str:
    """A text that changes when the image's content is replaced: sizes (bytes) and times (ns), no content read.

    For a series directory: number of files, total size and latest modification time. For a ``.mhd`` header the
    ``.raw`` or ``.zraw`` file beside it counts too.

    Raises:
        UserError: the file or directory is gone.
    """
    try:
        stats = [member.stat() for member in _members(path)]
    except OSError as error:
        raise _gone(path) from error
    latest = max((stat.st_mtime_ns for stat in stats), default=0)
    return f"{len(stats)}-{sum(stat.st_size for stat in stats)}-{latest}"


def content_digest(path: Path) -> str:
    """SHA-256 of the image's bytes, as hexadecimal digits: the same for a copy, which ``fingerprint`` tells apart.

    Raises:
        UserError: the file or directory is gone or cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for member in sorted(_members(path)):
            of_file = hashlib.sha256()
            with member.open("rb") as file:
                while block := file.read(_BLOCK):
                    of_file.update(block)
            digest.update(of_file.digest())
    except OSError as error:
        raise _gone(path) from error
    return digest.hexdigest()


def _members(path: Path) -> list[Path]:
    """The files that hold an image."""
    if path.is_dir():
        return [entry for entry in path.iterdir() if not entry.name.startswith(".") and entry.is_file()]
    voxels = (path.with_suffix(suffix) for suffix in (".raw", ".zraw") if path.suffix.lower() == ".mhd")
    return [path, *(file for file in voxels if file.is_file())]


def _gone(path: Path) -> UserError:
    return UserError(f"{path}: cannot be found any more; put it back or list the folder again")


class _Walked:
    """The folders that a walk has been to, so that no link leads it in circles or to a folder twice."""

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.realpath(root))
        self._seen = {self._root}

    def enter(self, folder: Path) -> bool:
        """Whether the folder is new, and no link into the root or to what holds it."""
        real = Path(os.path.realpath(folder))
        related = real.is_relative_to(self._root) or self._root.is_relative_to(real)
        if real in self._seen or (folder.is_symlink() and related):
            return False
        self._seen.add(real)
        return True


def _walk(folder: Path, recursive: bool, left_out: LeftOut, walked: _Walked) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        left_out.add(folder, f"it cannot be listed ({error})")
        return
    for path in entries:
        if path.name.startswith("."):
            continue
        if problem := _name_problem(path.name):
            left_out.add(path, problem)
        elif not path.is_dir():
            if image_extension(path) and path.is_file():
                yield path
            elif reason := _reason(path):
                left_out.add(path, reason)
        elif path.name == _LABELS_FOLDER:
            continue
        elif _is_series(path):
            yield path
        elif not recursive:
            if _holds_images(path):
                left_out.add(path, "images in a subfolder are not looked at; put them into the folder itself")
        elif walked.enter(path):
            yield from _walk(path, recursive, left_out, walked)
        else:
            left_out.add(path, "a link to a folder that is looked at without it; name its images once")


def _reason(path: Path) -> str:
    """Why an entry that is no folder is left out; empty if it does not look like an image."""
    if not path.exists():
        return "a link that leads nowhere; mend or remove it"
    if not path.is_file():
        return "neither a file nor a folder; remove it" if image_extension(path) else ""
    suffix = path.suffix.lower()
    if suffix in _NOT_READ:
        return f"its format is not read; convert it to one of {', '.join(EXTENSIONS)}"
    try:
        nameless = (suffix in ("", ".ima", ".dicom") or suffix[1:].isdigit()) and is_dicom(path)
    except OSError:
        return "it may not be read; let the server read it or remove it"
    if nameless:
        return "a DICOM file without .dcm; put each series into a folder of its own, or add .dcm to a single file"
    return ""


def _holds_images(folder: Path) -> bool:
    """Whether images or series lie directly in a folder."""
    try:
        return any(
            _is_series(entry) if entry.is_dir() else image_extension(entry) and entry.is_file()
            for entry in sorted(folder.iterdir())
            if not entry.name.startswith(".")
        )
    except OSError:  # not ours to look into
        return False


def _name_problem(name: str) -> str:
    """Why a name cannot be kept in a database and sent to a viewer; empty if it can."""
    try:
        name.encode()
    except UnicodeEncodeError:
        try:
            os.fsencode(name).decode()
        except UnicodeDecodeError:
            return "its name is not UTF-8; rename it"
        return "its name is UTF-8, but the locale of this process is not; start it with PYTHONUTF8=1"
    return ""


def _image_id(path: Path, folder: Path) -> str:
    # LocalDatastore also removes the extension from inside a name ("a.png.png" -> "a") and then drops that image,
    # because no file fits the id any more; so the two agree on every image it keeps.
    text = path.relative_to(folder).as_posix()
    return text if path.is_dir() else text[: len(text) - len(image_extension(path))]


def _is_series(folder: Path) -> bool:
    try:
        return any(is_dicom(entry) for entry in sorted(folder.iterdir()))
    except OSError:  # not ours to look into
        return False


def is_dicom(path: Path) -> bool:
    """Whether a file of a folder is a slice: by its name, then by its first bytes."""
    # Other image files are told by their names, so a folder of ten thousand PNG files is not opened one by one.
    if path.name.startswith(".") or path.name.lower() == _DICOM_INDEX or image_extension(path) not in ("", ".dcm"):
        return False
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"
