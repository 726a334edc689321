"""Naming series of an archive in one word: ``URL?Modality=CT&StationName=OLD``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl

from xssr_strategy.errors import UserError

REMOTE = ("http://", "https://")
FILTER = "MONAI_LABEL_DICOMWEB_SEARCH_FILTER"
_DEFAULT = '{"Modality": "CT"}'  # MONAI Label's


def is_remote(studies: str) -> bool:
    """Whether this names a DICOMweb service, not a folder."""
    return studies.startswith(REMOTE)


@dataclass(frozen=True)
class Query:
    """Series of an archive.

    Attributes:
        url: of the DICOMweb service, without a slash at the end; empty for the archive of the pool.
        filters: pairs of DICOM keyword and value that all have to match, as in QIDO-RS.
    """

    url: str
    filters: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> Query:
        """From ``URL``, ``URL?KEYWORD=VALUE&...`` or ``?KEYWORD=VALUE&...``.

        Raises:
            ValueError: it is none of these.
        """
        url, _, filters = text.partition("?")
        pairs = tuple(sorted(parse_qsl(filters)))
        whole = len(pairs) == len([part for part in filters.split("&") if part])
        if (url and not is_remote(url)) or not (url or pairs) or not whole or not all(k.isalnum() for k, _ in pairs):
            raise ValueError(f"no query: {text}")
        return cls(url.rstrip("/"), pairs)

    def at(self, url: str) -> Query:
        """The same with this URL, if it has none of its own."""
        return self if self.url else replace(self, url=url.rstrip("/"))

    def matching(self) -> Mapping[str, str]:
        """The filters as a mapping."""
        return dict(self.filters)

    def __str__(self) -> str:
        filters = "&".join(f"{key}={value}" for key, value in self.filters)
        return f"{self.url}?{filters}" if filters else self.url


def series_filter() -> dict[str, str]:
    """MONAI Label's own setting ``MONAI_LABEL_DICOMWEB_SEARCH_FILTER``: DICOM keyword -> value.

    Raises:
        UserError: it is no such mapping.
    """
    text = os.environ.get(FILTER) or _DEFAULT
    try:
        return {str(key): str(value) for key, value in json.loads(text).items()}
    except (ValueError, AttributeError):
        raise UserError(f'{FILTER} {text}: must be JSON such as {{"Modality": "MR"}}.') from None
