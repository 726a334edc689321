"""Labels that a datastore leaves out of what it gives to train on."""

from __future__ import annotations

import logging

from monailabel.interfaces.datastore import Datastore

from xssr_strategy.datastores.archive import ArchiveDatastore
from xssr_strategy.datastores.studies import StudiesDatastore

logger = logging.getLogger(__name__)


def unmatched_labels(datastore: Datastore) -> list[tuple[str, str]]:
    """(what, reason) of each; one log line for those of a folder, an archive has told them before.

    Args:
        datastore: after ``datalist()``; one of another kind has none.
    """
    if isinstance(datastore, ArchiveDatastore):
        return datastore.unmatched_labels()
    if not isinstance(datastore, StudiesDatastore):
        return []
    found = datastore.unmatched_labels()
    for _, reason in found:
        logger.warning("left out of the training: %s", reason)
    return found
