"""An archive with a server on it, and what a test does on either side of it."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pydicom
import requests
import SimpleITK as sitk

from tests.support.dicom_series import WrittenSeries
from tests.support.orthanc import Orthanc
from xssr_strategy.archive.volumes import series_image
from xssr_strategy.demo.annotator import RestAnnotator
from xssr_strategy.demo.server import Server
from xssr_strategy.pool.leases import Leases


@dataclass
class Site:
    """An archive with a server on it."""

    archive: Orthanc
    server: Server
    annotator: RestAnnotator
    pool: dict[str, WrittenSeries]
    folder: Path


def put_label(server: Server, image: str, file: Path, segments: tuple[str, ...] = ()) -> tuple[int, str]:
    """Submit a final label as 3D Slicer does; status and body of the answer."""
    params = json.dumps({"label_info": [{"name": name} for name in segments]})
    with file.open("rb") as label:
        answer = requests.put(
            f"{server.url}/datastore/label",
            params={"image": image, "tag": "final"},
            data={"params": params},
            files={"label": label},
            timeout=300,
        )
    return answer.status_code, answer.text


def segmentations_of(site: Site, uid: str) -> list[pydicom.Dataset]:
    """DICOM SEG objects of the archive that refer to the series."""
    found = []
    for one in site.archive.find("Instance", Modality="SEG"):
        with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
            Path(file.name).write_bytes(site.archive.ask(f"/instances/{one}/file"))
            dataset = pydicom.dcmread(file.name)
        if dataset.ReferencedSeriesSequence[0].SeriesInstanceUID == uid:
            found.append(dataset)
    return found


def completed(site: Site) -> list[str]:
    """Uids of the pool's series that have a segmentation in the archive."""
    return [uid for uid in site.pool if segmentations_of(site, uid)]


def downloaded(site: Site, series: WrittenSeries, tmp_path: Path) -> sitk.Image:
    """The series as the archive holds it."""
    folder = tmp_path / "series"
    folder.mkdir(exist_ok=True)
    for number, content in enumerate(site.archive.instances(series.uid)):
        (folder / f"{number}.dcm").write_bytes(content)
    return series_image(folder)


def end_leases(site: Site) -> None:
    """Every image that is with an annotator may be handed out again."""
    (file,) = (site.folder / "data").rglob("leases.sqlite")
    leases = Leases(file)
    leases.end(leases.out())
    leases.close()
