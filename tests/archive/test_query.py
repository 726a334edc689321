"""Which images of an archive, in one line of text."""

from __future__ import annotations

import pytest

from xssr_strategy.archive.query import Query


@pytest.mark.parametrize("text", ["ftp://host/x", "?", "http://host/dicom-web?Modality", "folder?Modality=CT", ""])
def test_what_is_no_query(text) -> None:
    with pytest.raises(ValueError, match="no query"):
        Query.parse(text)


def test_a_query_is_written_as_it_is_read() -> None:
    query = Query.parse("http://host/dicom-web/?StationName=A%20B&Modality=CT")
    assert query.matching() == {"Modality": "CT", "StationName": "A B"}
    assert str(query) == "http://host/dicom-web?Modality=CT&StationName=A B"
    assert query.at("http://other") is query
