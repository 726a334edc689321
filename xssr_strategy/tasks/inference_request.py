"""Requests for masks as MONAI Label's app gets them: of an image of the studies, of one that was sent, of many."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any

import torch
from fastapi import HTTPException
from monailabel.interfaces.datastore import Datastore

from xssr_strategy.tasks.propagation_infer import PROPAGATE, with_kept_label

logger = logging.getLogger(__name__)

IMAGE_WAS_SENT: ContextVar[bool] = ContextVar("the image was sent", default=False)
"""Whether the image of the inference at hand is a file that the asker has sent; otherwise it is an id."""


def inference_request(request: Mapping[str, Any], datastore: Datastore, labels: Sequence[str]) -> dict[str, Any]:
    """The request for one mask; its image is an id of the studies, or a file that was sent.

    Args:
        request: as MONAI Label's app gets it.
        datastore: of the studies.
        labels: names of the labels.

    Raises:
        HTTPException: there is no such image (404).
    """
    image = request.get("image")
    if IMAGE_WAS_SENT.get():
        if not image:
            raise HTTPException(404, "The session of this image has ended; begin another.")
        logger.info("Inference on an image that was sent")
        return dict(request)
    file = datastore.get_image_uri(image) if isinstance(image, str) else ""
    if not file:
        raise HTTPException(404, f"image '{image}' does not exist; name the id of an image of the studies.")
    logger.info("Inference on %s", image)
    if request.get("model") == PROPAGATE:
        request = with_kept_label(request, datastore, labels)
    if os.path.exists(str(image)):  # something else of that name, in the folder where the server was started
        return {**request, "image": file}
    return dict(request)


def batch_request(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request for many masks; by default MONAI Label counts on several GPUs, and fails where there is none."""
    return {**request, "multi_gpu": bool(request.get("multi_gpu", True)) and torch.cuda.is_available()}
