"""Whether the client of a request for a mask is still connected."""

from __future__ import annotations

import logging
import threading
from contextvars import ContextVar

from xssr_strategy.errors import UserError

logger = logging.getLogger(__name__)

CLIENT_DISCONNECTED: ContextVar[threading.Event | None] = ContextVar("the client disconnected", default=None)
"""Set once the connection of the request at hand is closed; None where nobody watches it."""


def stop_if_disconnected(done: int = 0, total: int = 0) -> None:
    """Called between slices of a mask that takes long, with how many are done.

    Raises:
        UserError: whoever asked for the mask has closed the connection.
    """
    left = CLIENT_DISCONNECTED.get()
    if left is not None and left.is_set():
        logger.info("Whoever asked has closed the connection: the mask is given up after %d of %d slices", done, total)
        raise UserError("whoever asked for this mask has left: it is not computed any further")
