"""The datastore of a pool: a folder or an archive."""

from __future__ import annotations

from xssr_strategy.datastores.archive import ArchiveDatastore
from xssr_strategy.datastores.studies import StudiesDatastore
from xssr_strategy.pool.opened import OpenPool


def open_datastore(opened: OpenPool, watch: bool) -> ArchiveDatastore | StudiesDatastore:
    """MONAI Label's view of a pool.

    Args:
        opened: the pool.
        watch: notice images that arrive in the folder.

    Raises:
        UserError: the folder cannot be read.
        OSError: the folder cannot be written.
    """
    if opened.archive is not None:
        return ArchiveDatastore(opened.archive, opened.settings.labels)
    datastore = StudiesDatastore(
        opened.studies.name,
        watch=watch,
        preset=opened.preset,
        labels=opened.settings.labels,
        links=opened.workspace.pictures if opened.preset.spatial_dims == 2 else None,
        told=opened.studies.told,
    )
    datastore.note_trained_names(opened.workspace.segmentation)
    return datastore
