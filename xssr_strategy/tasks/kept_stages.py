"""Where a training keeps what its finished stages found, so that a killed one goes on at its last finished stage."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from xssr_strategy.errors import UserError
from xssr_strategy.images.listing import fingerprint
from xssr_strategy.images.versions import READING
from xssr_strategy.labels.reading import LabelledImage
from xssr_strategy.segmentation.methods.loaders import ORDER_VERSION
from xssr_strategy.segmentation.plan import SegmentationPlan, plan_text
from xssr_strategy.storage.atomic_files import remove_unlocked_folders


@contextmanager
def kept_stages(folder: Path, training: str) -> Iterator[Path | None]:
    """The folder of a training, which is removed once the block has ended without an exception.

    Those of other trainings are removed, unless these are running.

    Args:
        folder: where it lies.
        training: digest of all that decides the network.

    Yields:
        The folder, or None while another process runs the same training.
    """
    own = folder / f"stages_{training}"
    for other in folder.glob("stages_*"):
        if other != own:
            remove_unlocked_folders(folder, other.name)
    own.mkdir(parents=True, exist_ok=True)
    lock = FileLock(own.with_name(f".{own.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        yield None
        return
    try:
        yield own
        shutil.rmtree(own, ignore_errors=True)
        Path(lock.lock_file).unlink(missing_ok=True)
    finally:
        lock.release()


def training_digest(
    settings: Mapping[str, Any], plan: SegmentationPlan, labels: Sequence[LabelledImage], unlabelled: Mapping[str, Path]
) -> str:
    """The same for trainings that give the same network: settings, plan, and the files by name, date and size."""
    facts: list[str] = [repr(sorted(settings.items())), plan_text(plan), str(READING), str(ORDER_VERSION)]
    facts += [f"{pair.image} {_state(pair.image)} {pair.label} {_state(pair.label)} {pair.names}" for pair in labels]
    facts += [f"{image} {_state(path)}" for image, path in sorted(unlabelled.items())]
    return _digest(facts)


def _state(path: str | Path) -> str:
    try:
        return fingerprint(Path(path))
    except UserError:  # deleted meanwhile, which the training tells
        return ""


def _digest(facts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
