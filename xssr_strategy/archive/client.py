"""What the software asks of a DICOMweb service, with one sentence for everything that can go wrong."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from xssr_strategy.errors import UserError

logger = logging.getLogger(__name__)

_CONNECT = 5.0  # seconds to reach the archive (our choice)
_READ = 60.0  # seconds between two bytes of an answer (our choice)
_T = TypeVar("_T")


class ArchiveError(UserError):
    """The archive gave no usable answer; the message names it, the reason and the remedy."""


class ArchiveDown(ArchiveError):  # noqa: N818
    """Nothing can be had from the archive at present: another series would fare no better."""


@dataclass(frozen=True)
class Series:
    """One series as the archive lists it.

    Attributes:
        uid, study: SeriesInstanceUID and StudyInstanceUID.
        modality: such as ``CT``.
        instances: how many the archive holds, or None if it does not say.
        info: further attributes by DICOM keyword, for people and viewers.
    """

    uid: str
    study: str
    modality: str
    instances: int | None = None
    info: Mapping[str, str] = field(default_factory=dict)


class Archive:
    """A DICOMweb service.

    Credentials and path prefixes come from MONAI Label's own variables: ``MONAI_LABEL_DICOMWEB_USERNAME``,
    ``MONAI_LABEL_DICOMWEB_PASSWORD``, ``MONAI_LABEL_QIDO_PREFIX``, ``MONAI_LABEL_WADO_PREFIX``,
    ``MONAI_LABEL_STOW_PREFIX``.

    Args:
        url: of the service.
        patience: seconds between two bytes of an answer after which the archive counts as down.

    Raises:
        UserError: DICOMweb support is not installed, or the address holds a password.
    """

    def __init__(self, url: str, patience: float = _READ) -> None:
        try:
            from dicomweb_client import DICOMwebClient
        except ImportError as error:
            raise UserError(f"{url}: an archive needs pip install 'xssr-strategy[server]' ({error}).") from None
        address = urlsplit(url)
        if address.username or address.password:
            raise UserError(
                f"{address.scheme}://{address.hostname}: put name and password into MONAI_LABEL_DICOMWEB_USERNAME and "
                "MONAI_LABEL_DICOMWEB_PASSWORD, not into the address, which is shown to others."
            )
        self.url = url.rstrip("/")
        self.client = DICOMwebClient(
            self.url,
            session=_session(self.url, patience),
            qido_url_prefix=_variable("QIDO_PREFIX"),
            wado_url_prefix=_variable("WADO_PREFIX"),
            stow_url_prefix=_variable("STOW_PREFIX"),
        )
        self.client.set_http_retry_params(retry=False)  # its retries hide the status

    def search(self, filters: Mapping[str, str], study: str | None = None) -> list[Series]:
        """The series that match, of the whole archive or of one study.

        Args:
            filters: DICOM keyword -> value. An archive passes over a keyword that it does not know.

        Raises:
            ArchiveError: no usable answer.
        """
        found: dict[str, Series] = {}
        while True:  # an archive may answer in portions
            portion = self._portion(filters, study, len(found))
            new = {one.uid: one for one in portion if one.uid not in found}
            found |= new
            if not new or study:
                return list(found.values())

    def _portion(self, filters: Mapping[str, str], study: str | None, offset: int) -> list[Series]:
        def ask() -> list[Series]:
            search = self.client.search_for_series
            return [_series(one) for one in search(study, search_filters=dict(filters), offset=offset or None)]

        portion = self._ask(f"searching series{f' of study {study}' if study else ''}", ask, whole=True)
        for one in portion:
            if not is_uid(one.uid):
                logger.warning("%s lists a series with the uid %r, which is none; it is left out.", self.url, one.uid)
        return [one for one in portion if is_uid(one.uid)]

    def metadata(self, series: Series) -> list[dict[str, Any]]:
        """Every instance of a series without its pixels, as DICOM JSON.

        Raises:
            ArchiveError: no usable answer.
        """
        answer: list[dict[str, Any]] = self._ask(
            f"reading series {series.uid}", lambda: self.client.retrieve_series_metadata(series.study, series.uid)
        )
        return answer

    def download(self, series: Series, folder: Path) -> int:
        """Write every instance of a series into a folder, as the archive holds it; the number of files.

        Raises:
            ArchiveError: no usable answer.
            OSError: the folder cannot be written.
        """

        def fetch() -> int:
            as_stored = (("application/dicom", "*"),)
            instances = self.client.retrieve_series(series.study, series.uid, media_types=as_stored)
            for number, instance in enumerate(instances):
                instance.save_as(folder / f"{number:05}.dcm")
            return len(instances)

        return self._ask(f"fetching series {series.uid}", fetch)

    def store(self, file: Path) -> None:
        """Add a DICOM file.

        Raises:
            ArchiveError: the archive did not take it.
        """
        from pydicom import dcmread

        answer = self._ask("storing a segmentation", lambda: self.client.store_instances([dcmread(file)]))
        refused = answer.get("FailedSOPSequence")
        if refused:
            reason = refused[0].get("FailureReason", "no reason given")
            raise ArchiveError(f"{self.url} refused the segmentation (code {reason}): look at the log of the archive.")

    def _ask(self, what: str, request: Callable[[], _T], whole: bool = False) -> _T:
        """The answer; ``whole``: what fails here fails for every series."""
        from requests import exceptions

        try:
            return request()
        except exceptions.HTTPError as error:
            status = None if error.response is None else error.response.status_code
            if status in (401, 403):
                raise ArchiveDown(
                    f"{self.url} refuses access (status {status}): set MONAI_LABEL_DICOMWEB_USERNAME and "
                    "MONAI_LABEL_DICOMWEB_PASSWORD."
                ) from None
            raise ArchiveError(
                f"{self.url} failed at {what} (status {status}): look at the log of the archive."
            ) from None
        except (exceptions.ConnectionError, exceptions.Timeout, exceptions.ChunkedEncodingError) as error:
            if not whole and _broke_off(error):
                raise ArchiveError(f"{self.url} broke off at {what}: look at the log of the archive.") from None
            raise ArchiveDown(
                f"{self.url} does not answer ({what}: {_root(error)}): start the archive or correct its address."
            ) from None
        except exceptions.RequestException as error:
            if not whole:
                raise ArchiveError(f"{self.url} sent no usable answer at {what} ({_root(error)}).") from None
            raise ArchiveDown(
                f"{self.url} does not answer as a DICOMweb service ({what}: {_root(error)}): "
                "correct its address, such as http://HOST:8042/dicom-web."
            ) from None
        except OSError:  # of this machine's disk
            raise
        except Exception as error:  # the library has no errors of its own for an answer that is not DICOM
            raise ArchiveError(f"{self.url} sent no usable DICOM at {what} ({_root(error)}).") from None


def _broke_off(error: Exception) -> bool:
    """Whether the archive took the question but did not answer it to the end: it may do better with others."""
    from requests import exceptions
    from urllib3.exceptions import ReadTimeoutError

    if isinstance(error, exceptions.ChunkedEncodingError | exceptions.ReadTimeout):
        return True
    return any(isinstance(reason, ReadTimeoutError) for reason in error.args)


def _session(url: str, patience: float) -> Any:
    from dicomweb_client.session_utils import create_session, create_session_from_user_pass
    from requests.adapters import HTTPAdapter

    class Patient(HTTPAdapter):
        """Without a limit, an archive that hangs would hang a viewer."""

        def send(self, request: Any, *positional: Any, **named: Any) -> Any:
            return super().send(request, *positional, **{**named, "timeout": (min(_CONNECT, patience), patience)})

    user, password = _variable("DICOMWEB_USERNAME"), _variable("DICOMWEB_PASSWORD")
    if "googleapis.com" in url:
        from dicomweb_client.ext.gcp.session_utils import create_session_from_gcp_credentials

        session = create_session_from_gcp_credentials()
    elif user and password:
        session = create_session_from_user_pass(user, password)
    else:
        session = create_session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, Patient(pool_maxsize=16))
    return session


def _variable(name: str) -> str | None:
    return os.environ.get(f"MONAI_LABEL_{name}") or None


def _root(error: BaseException) -> str:
    """The last and plainest of an error's reasons, in one line."""
    while (deeper := error.__cause__ or error.__context__ or getattr(error, "reason", None)) is not None:
        if not isinstance(deeper, BaseException):
            break
        error = deeper
    return " ".join(str(error).split())[:160] or type(error).__name__


_INFO = {
    "PatientID": "00100020",
    "PatientName": "00100010",
    "StudyDate": "00080020",
    "StudyTime": "00080030",
    "StudyDescription": "00081030",
    "SeriesDescription": "0008103E",
    "AccessionNumber": "00080050",
}


def _series(answer: Mapping[str, Any]) -> Series:
    count = first_value(answer, "00201209")
    return Series(
        uid=str(first_value(answer, "0020000E") or ""),
        study=str(first_value(answer, "0020000D") or ""),
        modality=str(first_value(answer, "00080060") or ""),
        instances=int(count) if str(count or "").isdigit() else None,
        info={name: _text(value) for name, tag in _INFO.items() if (value := first_value(answer, tag)) is not None},
    )


def is_uid(text: str) -> bool:
    """Whether a text is a DICOM UID: numbers with dots, safe as the name of a folder."""
    return len(text) <= 64 and re.fullmatch(r"[0-9]+(\.[0-9]+)*", text) is not None


def first_value(answer: Mapping[str, Any], tag: str) -> Any:
    """The first value of an attribute in DICOM JSON, or None."""
    values = (answer.get(tag) or {}).get("Value") or [None]
    return values[0]


def _text(value: Any) -> str:
    return str(value.get("Alphabetic", "")) if isinstance(value, dict) else str(value)
