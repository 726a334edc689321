"""What viewers say of images and labels, checked before it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import HTTPException

_LONGEST = 200  # bytes of a name; file systems take 255, endings included (our choice)


def checked_info(label_info: Any) -> dict[str, Any]:
    """What a viewer says of a label.

    Raises:
        HTTPException: it is no JSON object, or describes segments in no way that viewers do (422).
    """
    if isinstance(label_info, dict):
        check_label_info(label_info.get("label_info"))
    if label_info is not None and not isinstance(label_info, dict):
        raise HTTPException(422, "params: must be a JSON object, such as {}.")
    return dict(label_info or {})


def checked_notes(info: dict[str, Any]) -> dict[str, Any]:
    """What a viewer or a strategy notes of an image.

    Raises:
        HTTPException: ``strategy``, to which MONAI Label adds at each next sample, is no JSON object (422).
    """
    if not isinstance(info.get("strategy", {}), dict):
        raise HTTPException(422, "info: strategy must be a JSON object, such as {}.")
    return info


def plain_name(what: str, name: str) -> str:
    """The name, if it leads out of no folder.

    Raises:
        HTTPException: it might (422).
    """
    name = str.__str__(name)  # of MONAI Label's own tags, str() gives the name in Python
    if Path(name).name != name or name.startswith(".") or not name.isprintable() or len(name.encode()) > _LONGEST:
        raise HTTPException(422, f"{what} '{name[:_LONGEST]}': must be a plain name, short and without folders.")
    return name


def check_label_info(label_info: Any) -> None:
    """Refuse a description of segments that has another shape than that of viewers.

    Raises:
        HTTPException: it is no list of objects with a ``name`` (422).
    """
    entries = label_info if isinstance(label_info, list) else [label_info] if label_info else []
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("name") or "", str):
            raise HTTPException(422, 'params: label_info must be a list such as [{"name": "liver"}].')
