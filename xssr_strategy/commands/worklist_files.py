"""The next images as files for annotators: a table, and a page of links to OHIF or a task list for MITK Workbench."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from html import escape
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

from xssr_strategy.archive.client import Series
from xssr_strategy.commands.mitk_tasks import SegmentationTask, write_task_list
from xssr_strategy.pool.ranking import RankedImage, Ranking, reason
from xssr_strategy.pool.studies import Studies

VIEWER = "http://127.0.0.1:8000"
"""Where MONAI Label answers by default."""

_NOTHING: Mapping[str, str] = MappingProxyType({})
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Worklist</title>
<style>
body {{ font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }}
td, th {{ text-align: left; vertical-align: top; padding: .3em 1em .3em 0; border-bottom: 1px solid #ddd; }}
</style>
<h1>Worklist</h1>
<p>{advice}</p>
<table><tr><th>Rank</th><th>Patient</th><th>Study</th><th>Why</th></tr>
{rows}
</table></html>
"""


def write_worklist(
    file: Path, ranking: Ranking, studies: Studies, viewer: str = VIEWER, of_patient: Mapping[str, str] = _NOTHING
) -> list[Path]:
    """Write the images of the budget that are to be annotated next.

    Args:
        file: CSV file. Beside it stands the page of an archive's images, ending ``.html``, or the task list of a
            folder's, ending ``.mitk.json``.
        ranking: of the pool.
        studies: of the pool.
        viewer: address of the MONAI Label server that serves OHIF.
        of_patient: image -> what its reason says of its patient.

    Returns:
        The files written.
    """
    picks = ranking.picks[: ranking.budget]
    why = {pick.image: reason(pick, ranking, of_patient.get(pick.image, "")) for pick in picks}
    listed = {} if studies.archive is None else dict(studies.archive.series())
    series = {pick.image: listed[pick.image] for pick in picks if pick.image in listed}  # others are gone meanwhile
    with file.open("w", newline="", encoding="utf-8") as table:
        writer = csv.writer(table)
        if studies.archive is None:
            writer.writerow(("rank", "image", "path", "reason"))
            writer.writerows((pick.rank, pick.image, studies.images[pick.image], why[pick.image]) for pick in picks)
            tasks = [SegmentationTask(studies.images[pick.image], pick.image, why[pick.image]) for pick in picks]
            write_task_list(task_list_of(file), file.stem, tasks)
            return [file, task_list_of(file)]
        writer.writerow(("rank", "image", "patient", "study", "link", "reason"))
        picks = tuple(pick for pick in picks if pick.image in series)
        for pick in picks:
            one = series[pick.image]
            patient, link = _no_formula(one.info.get("PatientID", "")), study_link(one, viewer)
            writer.writerow((pick.rank, pick.image, patient, one.study, link, why[pick.image]))
    page = page_of(file)
    rows = "\n".join(_row(pick, series[pick.image], why[pick.image], viewer) for pick in picks)
    page.write_text(_PAGE.format(advice=escape(ranking.advice), rows=rows), encoding="utf-8")
    return [file, page]


def page_of(worklist: Path) -> Path:
    """Where the page of links of an archive's worklist is written."""
    return worklist.with_suffix(".html")


def task_list_of(worklist: Path) -> Path:
    """Where the task list of a folder's worklist is written."""
    return worklist.with_suffix(".mitk.json")


def study_link(series: Series, viewer: str) -> str:
    """Opens the study of a series in MONAI Label's OHIF."""
    return f"{viewer.rstrip('/')}/ohif/monai-label?StudyInstanceUIDs={quote(series.study)}"


def _no_formula(text: str) -> str:
    """A text that a spreadsheet does not take for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _row(pick: RankedImage, series: Series, why: str, viewer: str) -> str:
    patient = escape(series.info.get("PatientID", ""))
    study = escape(series.info.get("StudyDate", "") or series.study)
    link = f'<a href="{escape(study_link(series, viewer))}">{study}</a>'
    return f"<tr><td>{pick.rank}</td><td>{patient}</td><td>{link}</td><td>{escape(why)}</td></tr>"
