"""What a command writes, tried before its work begins: a sentence at once, not a traceback when the work is done."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from xssr_strategy.archive.query import Query, is_remote
from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import image_extension

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def check_outputs(outputs: Mapping[str, Path | None], inputs: Mapping[str, Path | None]) -> None:
    """Try to write every file that a command is to write; what is in them stays.

    Args:
        outputs: option -> file, or None if the option is not given.
        inputs: option -> file that the command reads.

    Raises:
        UserError: a file cannot be written, or two options name one file.
    """
    taken: dict[str, str] = {os.path.realpath(file): option for option, file in inputs.items() if file is not None}
    for option, file in outputs.items():
        if file is None:
            continue
        place = os.path.realpath(file)
        if place in taken:
            raise UserError(f"{option} {file}: is the file of {taken[place]}, too; name another.")
        taken[place] = option
        _try_file(option, file)


def check_not_an_image(outputs: Mapping[str, Path | None], studies: str, source: Path | Query | None) -> None:
    """Refuse pictures that would be images of the pool, or of the source and its subfolders, the next time.

    Args:
        outputs: as of :func:`check_outputs`.
        studies: folder or URL of the pool.
        source: folder or series of the source.

    Raises:
        UserError: there is one.
    """
    for option, file in outputs.items():
        if file is None or not image_extension(file):
            continue
        folder = Path(os.path.realpath(file)).parent
        where = "--studies" if not is_remote(studies) and folder == Path(studies).resolve() else ""
        if isinstance(source, Path) and folder.is_relative_to(source.resolve()):
            where = "--source"
        if where:
            raise UserError(f"{option} {file}: lies in {where} and would count as an image; name a folder elsewhere.")


def make_folder(option: str, folder: Path) -> None:
    """Make a folder where it is missing, and try to write into it.

    Raises:
        UserError: it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise UserError(f"{option} {folder}: cannot be written ({error.strerror}); name another folder.") from None


@contextmanager
def writing(option: str, file: Path) -> Iterator[None]:
    """A file that cannot be written any more is told in a sentence; a full disk is told by the command line.

    Raises:
        UserError: the block could not write.
    """
    try:
        yield
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        raise _not_written(option, file, error) from None


def _try_file(option: str, file: Path) -> None:
    try:
        if file.is_dir():
            raise UserError(f"{option} {file}: is a folder; name a file in it.")
        if not file.parent.is_dir():
            raise UserError(f"{option} {file}: its folder does not exist; make it or name another.")
        there = file.exists()
        if there and not file.is_file():  # such as /dev/stdout, which waits or is changed when it is opened
            return
        with file.open("ab"):
            pass
        if not there:
            Path(os.path.realpath(file)).unlink()
    except OSError as error:
        raise _not_written(option, file, error) from None


def _not_written(option: str, file: Path, error: OSError) -> UserError:
    return UserError(
        f"{option} {file}: cannot be written ({error.strerror}); name a file in a folder that you can write to."
    )
