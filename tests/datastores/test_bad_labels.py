"""Labels that cannot be trained on, submitted or copied into the folder: told in a sentence, and without effect."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from fastapi import HTTPException

from tests.support.bad_labels import AFFINE, BAD_LABELS, LABEL, SHAPE, BadLabel, good
from tests.support.phantoms import ellipsoids, write_nifti
from tests.support.trainings import MRI, SHORT, same, trainer, weights
from xssr_strategy.datastores.studies import StudiesDatastore

KINDS = {kind.name: kind for kind in BAD_LABELS}


def studies(folder: Path, count: int) -> StudiesDatastore:
    for index in range(count):
        image, _ = ellipsoids(SHAPE, 1, np.random.default_rng(index))
        write_nifti(folder / f"i{index:02d}.nii.gz", image.astype(np.float32), AFFINE)
    return StudiesDatastore(str(folder), watch=False, preset=MRI, labels=(LABEL,))


@pytest.mark.parametrize("kind", BAD_LABELS, ids=KINDS)
def test_a_submitted_label_is_refused_or_remarked_on(tmp_path: Path, kind: BadLabel) -> None:
    datastore = studies(tmp_path / "studies", 1)
    file = tmp_path / f"label{kind.suffix}"
    kind.write(file)
    if kind.kept:
        datastore.save_label("i00", str(file), "final", {})
        assert kind.submitted in datastore.remarks["i00"]
        good(tmp_path / "good.nii.gz")
        datastore.save_label("i00", str(tmp_path / "good.nii.gz"), "final", {})
        assert datastore.remarks["i00"] == ""
        return
    with pytest.raises(HTTPException) as refused:
        datastore.save_label("i00", str(file), "final", {})
    assert refused.value.status_code == 422
    assert kind.submitted in refused.value.detail
    assert not datastore.get_labeled_images()
    assert not list((tmp_path / "studies" / "labels" / "final").glob("*"))


def test_a_training_leaves_out_what_it_cannot_use_and_learns_what_it_would_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Bit for bit; each file that is left out is named in the log and in the statistics."""
    bad = [kind for kind in BAD_LABELS if not kind.kept]
    weighed = []
    for run in ("clean", "spoilt"):
        datastore = studies(tmp_path / run, len(bad) + 3)
        final = tmp_path / run / "labels" / "final"
        for index in range(2):
            good(final / f"i{index:02d}.nii.gz")
        if run == "spoilt":
            for index, kind in enumerate(bad, start=2):
                kind.write(final / f"i{index:02d}{kind.suffix}")
            good(final / "deleted.nii.gz")
            (final / ".half.partial").write_bytes(b"")  # of a copy under way
            write_nifti(final / "i00.nii", np.zeros(SHAPE, np.uint8), AFFINE)
        datastore.refresh()
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            stats = trainer(tmp_path / f"run {run}", MRI, (LABEL,))(SHORT, datastore)
        weighed.append(weights(tmp_path / f"run {run}"))
    assert same(*weighed)
    told = stats["labels"]["left_out"]
    lines = [record.getMessage() for record in caplog.records if "left out of the training" in record.getMessage()]
    assert len(told) == len(lines) == len(bad) + 2
    for index, kind in enumerate(bad, start=2):
        (reason,) = [reason for reason in told if f"i{index:02d}{kind.suffix}: " in reason]
        assert kind.found in reason
        assert any(reason in line for line in lines)
    assert any("deleted.nii.gz: there is no image 'deleted'" in reason for reason in told)
    assert any("is the label of this image; remove one of the two" in reason for reason in told)
    assert stats["labels"]["trained_on"] == 2
    json.dumps(stats, allow_nan=False)


def test_odd_labels_are_trained_on_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    odd = [kind for kind in BAD_LABELS if kind.kept]
    datastore = studies(tmp_path / "studies", len(odd))
    for index, kind in enumerate(odd):
        path = tmp_path / "studies" / "labels" / "final" / f"i{index:02d}{kind.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        kind.write(path)
    datastore.refresh()
    stats = trainer(tmp_path, MRI, (LABEL,))(SHORT, datastore)
    assert stats["labels"]["left_out"] == []
    for kind, remark in zip(odd, stats["labels"]["remarks"], strict=True):
        assert kind.found in remark
        assert f"trained on: {remark}" in caplog.text
