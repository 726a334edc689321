"""From which hospital or scanner each image is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from xssr_strategy.archive.query import Query, is_remote
from xssr_strategy.embedding.store import SOURCE, TARGET
from xssr_strategy.images.lists import is_named
from xssr_strategy.pool_map.layout import Name
from xssr_strategy.pool_map.tables import read_sites

TABLE = "sites.csv"
"""Looked for in a folder of images; the same as of a domain of ``xssr simulate``."""


def name_of(folder: str | Path | Query) -> str:
    """What people call a folder of images: its name, with that of the folder above where it is just ``images``."""
    if isinstance(folder, Query) or is_remote(str(folder)):
        return str(folder)
    path = Path(folder).resolve()
    return path.parent.name if path.name == "images" else path.name


def sites_of(
    images: Sequence[Name], studies: str, source: Path | Query | None, told: Mapping[str, str] | None = None
) -> dict[Name, str]:
    """(domain, id) -> site: by the table where it has a line, else the name of the folder.

    Args:
        images: of the map.
        studies: folder or URL of the pool.
        source: folder or series of the source.
        told: id -> site of the pool's images, by a table that the user names; by default that in the folder, if there
            is one.

    Raises:
        UserError: a table that cannot be used.
    """
    sites: dict[Name, str] = {}
    for domain, folder in ((TARGET, studies), (SOURCE, source)):
        ours = [image for where, image in images if where == domain]
        if ours and folder is not None:
            table = _table(ours, folder) if told is None or domain == SOURCE else told
            found = dict.fromkeys(ours, name_of(folder)) | {image: table[image] for image in ours if image in table}
            sites |= {(domain, image): site for image, site in found.items()}
    return sites


def _table(images: Collection[str], folder: str | Path | Query) -> Mapping[str, str]:
    if isinstance(folder, Query) or is_remote(str(folder)):
        return {}
    path = Path(folder) / TABLE
    return read_sites(path, images, "sites") if is_named(path) else {}
