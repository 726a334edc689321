"""What an archive may answer, or not: each becomes a sentence."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from xssr_strategy.archive.client import Archive, ArchiveDown, ArchiveError
from xssr_strategy.errors import UserError


@pytest.mark.parametrize(
    ("status", "body", "kind", "sentence"),
    [
        (401, b"", ArchiveDown, "refuses access .*MONAI_LABEL_DICOMWEB_USERNAME"),
        (500, b"oops", ArchiveError, "failed at searching series .status 500"),
        (200, b"<html>It works!</html>", ArchiveDown, "does not answer as a DICOMweb service"),
    ],
)
def test_answers_that_are_none_become_a_sentence(status, body, kind, sentence) -> None:
    with answering(body, status) as url, pytest.raises(kind, match=sentence) as caught:
        Archive(url).search({"Modality": "CT"})
    assert len(str(caught.value).splitlines()) == 1


@contextmanager
def answering(body: bytes, status: int = 200) -> Iterator[str]:
    """URL of a server that answers everything so."""

    class Same(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Same) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/dicom-web"
        server.shutdown()


def test_a_uid_that_would_lead_out_of_the_cache_is_no_series() -> None:
    uids = ["../../escaped", "..", "1.2/3", "", "1..2", "1.2.3"]
    answer = [{"0020000E": {"Value": [uid]}, "0020000D": {"Value": ["1.2"]}, "00100020": None} for uid in uids]
    with answering(json.dumps(answer).encode()) as url:
        assert [series.uid for series in Archive(url).search({})] == ["1.2.3"]


def test_an_archive_that_hangs_is_given_up() -> None:
    class Hanging(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(3)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Hanging) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with pytest.raises(ArchiveDown, match="does not answer"):
                Archive(f"http://127.0.0.1:{server.server_port}/dicom-web", patience=0.3).search({})
        finally:
            server.shutdown()


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UserError, match="MONAI_LABEL_DICOMWEB_PASSWORD, not into the address") as caught:
        Archive("http://alice:s3cret@127.0.0.1:1/dicom-web")
    assert "s3cret" not in str(caught.value)
