"""Series with several frames in a file, from a real Orthanc through MONAI Label's datastore and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from fastapi import HTTPException

from tests.support.enhanced_dicom import at, enhanced, patient, stored, written
from tests.support.orthanc import Orthanc
from xssr_strategy.archive.pool import ArchivePool
from xssr_strategy.datastores.archive import ArchiveDatastore
from xssr_strategy.images.reading import read_image

pytestmark = pytest.mark.e2e


def test_a_volume_is_sorted_labelled_and_trained_on_and_a_time_series_is_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("MONAI_LABEL_DICOMWEB_CACHE_PATH", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    order = [6, 0, 8, 4, 2]
    volume = enhanced(at(order), **patient())
    points = [{"FrameContentSequence": {"TemporalPositionIndex": point}} for point in (1, 2)] * 2
    times = enhanced(at([0, 0, 2, 2]), groups=points, number=2, SeriesInstanceUID="1.2.3.5", **patient())
    files = [written(tmp_path / name, one) for name, one in (("a.dcm", volume), ("b.dcm", times))]
    with Orthanc(tmp_path / "orthanc") as archive:
        archive.load(files)
        datastore = ArchiveDatastore(ArchivePool(archive.url, {"Modality": "MR"}), ("liver", "tumour"))
        image = read_image(datastore.get_image_uri("1.2.3.4"))
        expected = stored(5)[np.argsort(order)]
        np.testing.assert_array_equal(image.numpy()[0], expected.transpose(2, 1, 0))
        label = sitk.ReadImage(datastore.get_image_uri("1.2.3.4")) > 2000
        sitk.WriteImage(label, str(tmp_path / "label.nii.gz"))
        datastore.save_label("1.2.3.4", str(tmp_path / "label.nii.gz"), "final", {})
        assert len(archive.find("Instance", Modality="SEG")) == 1
        Path(datastore.get_label_uri("1.2.3.4", "final")).unlink()
        (pair,) = datastore.datalist()  # fetched from the archive
        np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(pair["label"])), expected > 2000)
        with pytest.raises(HTTPException) as caught:
            datastore.get_image_uri("1.2.3.5")
        assert caught.value.status_code == 422
        assert caught.value.detail.startswith("1.2.3.5: is a time series: it holds 2 time points")
