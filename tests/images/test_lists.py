"""Lists and tables as Windows, macOS and spreadsheets write them; what names no image is told by name."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from xssr_strategy.errors import UserError
from xssr_strategy.images.lists import ImageNames, read_ids, read_table, read_text

IMAGES = {name: Path("/pool") / f"{name}.nii.gz" for name in ("a", "b.1", "Müller 2", "1.2.840.1")} | {
    "case7": Path("/pool/case7_0000.nii.gz"),
    "sub/a": Path("/pool/sub/a.png"),
}
LIST = "a.nii.gz\nMüller 2\n\n  b.1\ncase7_0000.nii.gz\n"
NAMED = {"a", "Müller 2", "b.1", "case7"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "test.txt"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_list_is_the_same_whoever_saved_it(file: Path, encoding: str, end: str) -> None:
    for text in (LIST, LIST.rstrip("\n"), f"\n \t\n{LIST}\n\n"):
        file.write_bytes(text.replace("\n", end).encode(encoding))
        assert read_ids(file, IMAGES) == NAMED


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("a", "a"),
        ("a.NII.GZ", "a"),
        ("./a.nii.gz", "a"),
        ("/elsewhere/pool/a.nii.gz", "a"),
        ("C:\\data\\pool\\a.nii.gz", "a"),
        ("pool/sub/a.png", "sub/a"),  # the longest end that is an id
        ("sub\\a", "sub/a"),
        ("b.1", "b.1"),
        ("b.1.nii.gz", "b.1"),
        ("b", None),
        ("1.2.840.1", "1.2.840.1"),
        ("case7_0000", "case7"),
        ("/data/imagesTr/case7_0000.nii.gz", "case7"),
        ("Mu\u0308ller 2.nii.gz", "Müller 2"),  # as macOS spells it
        ("A", None),
        ("../a", None),
        ("", None),
    ],
)
def test_how_a_line_may_name_an_image(text: str, image: str | None) -> None:
    assert ImageNames(IMAGES).find(text) == image


def test_names_with_blanks_at_their_ends_and_two_spellings() -> None:
    assert ImageNames([" a ", "a"]).find(" a ") == " a "
    both = ImageNames(["ü", "u\u0308"])
    assert (both.find("ü"), both.find("u\u0308.png")) == ("ü", "u\u0308")
    assert ImageNames({"p1/scan": Path("p1/scan.png"), "p2/scan": Path("p2/scan.png")}).find("scan.png") is None


def test_a_path_names_the_file_that_it_leads_to(tmp_path: Path, monkeypatch) -> None:
    for folder in ("studies", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").touch()
    (tmp_path / "link.png").symlink_to(tmp_path / "studies" / "a.png")
    names = ImageNames({"a": tmp_path / "studies" / "a.png"})
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert names.find(str(tmp_path / "studies" / "a.png")) == "a"
    assert names.find("../studies/a.png") == "a"
    assert names.find(str(tmp_path / "elsewhere" / "a.png")) is None  # another image of that name
    assert names.find("/another/machine/a.png") == "a"


def test_what_names_nothing_is_told_by_name_and_line(file: Path) -> None:
    file.write_text("a\ngohst\n")
    with pytest.raises(UserError, match=r"line 2: 'gohst' is none of the 6 images; correct or remove the line\.$"):
        read_ids(file, IMAGES)
    file.write_text("a\nx1\n\nx2\nx3\nx4\nx5\nx6\n")
    with pytest.raises(UserError) as error:
        read_ids(file, IMAGES)
    assert str(error.value) == (
        f"{file}, line 2: 'x1' is none of the 6 images, nor are 'x2' (line 4), 'x3' (line 5), 'x4' (line 6) and "
        "2 more; correct or remove these lines."
    )
    file.write_text("x1\nx2\n")
    with pytest.raises(
        UserError, match=r"not one of its 2 lines names an image: 'x1' \(line 1\), 'x2' \(line 2\); use"
    ):
        read_ids(file, IMAGES)


def test_an_empty_list_names_nothing(file: Path) -> None:
    for content in (b"", b"\xef\xbb\xbf", b"\r\n\r\n"):
        file.write_bytes(content)
        assert read_ids(file, IMAGES) == frozenset()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (LIST.encode("utf-16"), "it is UTF-16, as Windows' PowerShell and Notepad can save it"),
        (b"\xfe\xff" + LIST.encode("utf-16-be"), "it is UTF-16"),
        (LIST.encode("utf-32"), "it is UTF-16"),
        ("a\n".encode("utf-16-le"), "it holds zero bytes, as UTF-16 and binary files do"),
        (LIST.encode("latin-1"), "can't decode byte 0xfc"),
    ],
)
def test_other_encodings_get_a_sentence(file: Path, content: bytes, words: str) -> None:
    file.write_bytes(content)
    with pytest.raises(UserError) as error:
        read_text(file)
    assert str(error.value).startswith(f"{file}: cannot be read as text (")
    assert words in str(error.value)
    assert str(error.value).endswith("save it as plain text in UTF-8.")


def test_a_table_as_spreadsheets_write_it(file: Path) -> None:
    with file.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows(
            [["site", "image", ""], ["Basel, CH", "a.nii.gz", ""], ["", "", ""], ["", "b.1"], ["Bern", "x"]]
        )
    lines, wrong = read_table(file, ("image",), "site", IMAGES)
    assert [(line.line, line.image, line.value) for line in lines] == [(2, "a", "Basel, CH"), (4, "b.1", "")]
    assert [*map(str, wrong)] == ["'x' (line 5)"]
    file.write_text("\n , \nimage , site\n a , Bern\n")
    assert read_table(file, ("case", "image"), "site", IMAGES)[0][0].value == "Bern"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image;site\na;Bern\n", "the first line has no columns image and site; begin the file with image,site"),
        ("", "the first line has no columns"),
        ("image,site\na,Basel, CH\n", "line 2: has more cells than the first line has columns"),
    ],
)
def test_a_table_of_another_form_is_refused(file: Path, text: str, words: str) -> None:
    file.write_text(text)
    with pytest.raises(UserError, match=words):
        read_table(file, ("image",), "site", IMAGES)
