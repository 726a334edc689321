"""The answer to a request for a next sample."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import HTTPException
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy

from xssr_strategy.datastores.archive import ArchiveDatastore
from xssr_strategy.selection.catalogue import RANDOM

logger = logging.getLogger(__name__)


def next_sample(
    request: Mapping[str, Any], datastore: Datastore, strategies: Mapping[str, Strategy], viewer_strategy: str
) -> dict[str, Any]:
    """The image to annotate, and where it is; empty if none is left. An archive's series is converted meanwhile.

    OHIF always asks for ``random`` and sends no ``client_id``; 3D Slicer always sends one.

    Args:
        request: ``strategy``, ``client_id`` and what else a viewer sends.
        datastore: of the server.
        strategies: by name.
        viewer_strategy: what answers a viewer that can only ask for ``random``; ``off`` leaves it random.

    Raises:
        HTTPException: there is no such strategy (404).
    """
    name = request.get("strategy") or RANDOM
    if viewer_strategy != "off" and name == RANDOM and not request.get("client_id"):
        name = viewer_strategy
    if not isinstance(name, str) or name not in strategies:
        raise HTTPException(404, f"strategy '{name}' does not exist; the strategies are {', '.join(strategies)}.")
    answer: dict[str, Any] | None = strategies[name]({**request, "strategy": name}, datastore)
    if not answer:
        return {}
    if isinstance(datastore, ArchiveDatastore):
        datastore.make_ready(answer["id"])
        answer["path"] = datastore.image_path(answer["id"])
    else:
        answer["path"] = datastore.get_image_uri(answer["id"])
    logger.info("Next sample: %s for %s by %s", answer["id"], request.get("client_id") or "a viewer", name)
    return answer
