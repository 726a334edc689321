from __future__ import annotations

import csv
import json
from pathlib import Path

from tests.support.rankings import ranking
from xssr_strategy.archive.client import Series
from xssr_strategy.commands.worklist_files import study_link, write_worklist
from xssr_strategy.pool.studies import Studies

# What version 1 knows of a task: docs.mitk.org/2024.12/MITKSegmentationTaskListsPage.html.
DOCUMENTED = {
    "Image",
    "Result",
    "Name",
    "Description",
    "LabelName",
    "LabelNameSuggestions",
    "Preset",
    "Segmentation",
    "Dynamic",
}


def test_the_worklist_of_a_folder_names_files_and_reasons(tmp_path: Path) -> None:
    studies = Studies("studies", {f"i{number}": Path(f"/studies/i{number}.png") for number in range(10)}, {})
    file, _ = write_worklist(tmp_path / "next.csv", ranking(["i3", "i1", "i2", "i0"], ["i9"]), studies)
    with file.open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert [(row["rank"], row["image"], row["path"]) for row in rows] == [
        ("2", "i3", "/studies/i3.png"),
        ("3", "i1", "/studies/i1.png"),
        ("4", "i2", "/studies/i2.png"),
    ]
    assert all(row["reason"].startswith(f"Pick {row['rank']} of 10: ") for row in rows)


def test_the_worklist_of_a_folder_is_a_task_list_of_mitk_too(tmp_path: Path) -> None:
    """Keys and their types are those of MITK's documentation, version 1 of the format."""
    series = tmp_path / "studies" / "i1"
    series.mkdir(parents=True)
    for name in ("b.dcm", "a.dcm"):
        (series / name).write_bytes(b"\0" * 128 + b"DICM")
    (series / ".DS_Store").write_bytes(b"no image")
    images = {f"i{number}": tmp_path / "studies" / f"i{number}.png" for number in range(10)} | {"i1": series}
    studies = Studies("studies", images, {})
    table, file = write_worklist(tmp_path / "next.csv", ranking(["i3", "i1", "i2", "i0"], ["i9"]), studies)
    assert (table.name, file.name) == ("next.csv", "next.mitk.json")
    content = json.loads(file.read_text(encoding="utf-8"))
    tasks = content.pop("Tasks")
    assert content == {"FileFormat": "MITK Segmentation Task List", "Version": 1, "Name": "next"}
    assert [task["Name"] for task in tasks] == ["i3", "i1", "i2"]
    assert [task["Image"] for task in tasks] == [str(images["i3"]), str(series / "a.dcm"), str(images["i2"])]
    assert len({task["Result"] for task in tasks}) == 3
    assert all(Path(task["Result"]).parent == tmp_path / "next.mitk" for task in tasks)
    assert all(task["Description"].startswith("Pick ") for task in tasks)
    assert all(set(task) <= DOCUMENTED and all(isinstance(value, str) for value in task.values()) for task in tasks)


def test_a_link_opens_the_study_and_nothing_else() -> None:
    link = study_link(Series("1.2.3", "1.2&x=y", "CT"), "http://host:8000/")
    assert link == "http://host:8000/ohif/monai-label?StudyInstanceUIDs=1.2%26x%3Dy"
