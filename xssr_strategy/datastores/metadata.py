"""What viewers say of images and labels, checked before it is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from fastapi import HTTPException
from pydantic import BeforeValidator, Field

from xssr_strategy.datastores.bodies import Body, Text, parse_body

_LONGEST = 200  # bytes of a name; file systems take 255, endings included (our choice)


class Segment(Body):
    """A segment as viewers describe it."""

    name: Text = None


def as_list(value: Any) -> Any:
    """A list as it is, a single value as the list of it; viewers send either."""
    return value if isinstance(value, list) else [value] if value else []


Segments = Annotated[list[Segment], BeforeValidator(as_list)]
"""Segments of a label in the order of their numbers; a single one may stand without a list."""

SEGMENTS = 'a list such as [{"name": "liver"}]'


class LabelNotes(Body):
    """What a viewer says of a label."""

    label_info: Segments = Field([], description=SEGMENTS)


class ImageNotes(Body):
    """What a viewer or a strategy notes of an image; MONAI Label adds to ``strategy`` at each next sample."""

    strategy: dict[str, Any] = Field({}, description="a JSON object, such as {}")


def checked_info(label_info: Any) -> dict[str, Any]:
    """What a viewer says of a label.

    Raises:
        HTTPException: it is no JSON object, or describes segments in no way that viewers do (422).
    """
    info = {} if label_info is None else label_info
    parse_body(LabelNotes, info, "params")
    return dict(info)


def checked_notes(info: dict[str, Any]) -> dict[str, Any]:
    """What a viewer or a strategy notes of an image.

    Raises:
        HTTPException: ``strategy`` is no JSON object (422).
    """
    parse_body(ImageNotes, info, "info")
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
