"""The images as the encoder sees them, kept in a file for training."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xssr_strategy.embedding.encoder import TrainedEncoder
from xssr_strategy.errors import UserError
from xssr_strategy.images.ahead import read_ahead
from xssr_strategy.images.journal import ReadingJournal
from xssr_strategy.images.preset import Preset
from xssr_strategy.images.reading import UnreadableImage
from xssr_strategy.storage.atomic_files import replacing

logger = logging.getLogger(__name__)


def training_inputs(
    images: Mapping[str, Path],
    encoder: TrainedEncoder,
    preset: Preset,
    file: Path,
    on_image: Callable[[int, int], None],
    workspace: Path | None = None,
) -> tuple[NDArray[np.float16], list[str]]:
    """(N, *input_shape) encoder inputs of all readable images, in a file that is mapped into memory, and their ids.

    An epoch reads them many times: the file keeps a volume from being decoded each time, and a
    run that was killed goes on where it was (a row is NaN until it is written).

    Args:
        encoder: that is to be trained, which reads the images.
        file: the .npy file; the caller removes it after the training.
        on_image: called with (done, total).
        workspace: where the journal of images that are being read is; beside the file if None.

    Raises:
        UserError: not one image can be read.
    """
    shape = (len(images), *encoder.input_shape(preset))
    rows = _open(file, shape)
    missing = {image: path for row, (image, path) in zip(rows, images.items(), strict=True) if np.isnan(row).any()}
    place = {image: index for index, image in enumerate(images)}
    done = len(images) - len(missing)
    reason = ""
    with ReadingJournal(workspace or file.parent) as journal:
        for image, values in read_ahead(missing, journal.guarded(partial(encoder.read, preset=preset))):
            if isinstance(values, UnreadableImage):
                logger.warning("Left out of the encoder's training: %s", values)
                reason = reason or str(values)
            else:
                rows[place[image]] = values.numpy()
            done += 1
            on_image(done, len(images))
    readable = [index for index, row in enumerate(rows) if not np.isnan(row.ravel()[0])]
    if not readable:
        raise UserError(f"none of the {len(images)} images can be read, for example {reason}")
    ids = list(images)
    return rows if len(readable) == len(rows) else rows[readable], [ids[row] for row in readable]


def _open(file: Path, shape: tuple[int, ...]) -> NDArray[np.float16]:
    if file.exists():
        try:
            rows = np.lib.format.open_memmap(file, mode="r+")
        except (OSError, ValueError):
            rows = None
        if rows is not None and rows.shape == shape:
            return rows
    # Moved into place once it is all NaN: a kill before must not leave rows of zeros that look written.
    with replacing(file) as partial:
        rows = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)
        with partial.open("r+b") as blocks:  # now, for a mapped file on a full disk ends the process later
            os.posix_fallocate(blocks.fileno(), 0, partial.stat().st_size)
        rows[:] = np.nan
        rows.flush()
    return rows
