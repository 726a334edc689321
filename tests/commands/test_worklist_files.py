from __future__ import annotations

import csv
from pathlib import Path

from tests.support.rankings import ranking
from xssr_strategy.archive.client import Series
from xssr_strategy.commands.worklist_files import study_link, write_worklist
from xssr_strategy.pool.studies import Studies


def test_the_worklist_of_a_folder_names_files_and_reasons(tmp_path: Path) -> None:
    studies = Studies("studies", {f"i{number}": Path(f"/studies/i{number}.png") for number in range(10)}, {})
    (file,) = write_worklist(tmp_path / "next.csv", ranking(["i3", "i1", "i2", "i0"], ["i9"]), studies)
    with file.open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert [(row["rank"], row["image"], row["path"]) for row in rows] == [
        ("2", "i3", "/studies/i3.png"),
        ("3", "i1", "/studies/i1.png"),
        ("4", "i2", "/studies/i2.png"),
    ]
    assert all(row["reason"].startswith(f"Pick {row['rank']} of 10: ") for row in rows)


def test_a_link_opens_the_study_and_nothing_else() -> None:
    link = study_link(Series("1.2.3", "1.2&x=y", "CT"), "http://host:8000/")
    assert link == "http://host:8000/ohif/monai-label?StudyInstanceUIDs=1.2%26x%3Dy"
