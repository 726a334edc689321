"""What a command writes is tried before its work: one sentence, nothing made, nothing changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.pools import write
from xssr_strategy.cli import main
from xssr_strategy.commands.outputs import check_outputs, make_folder, writing
from xssr_strategy.errors import UserError


@pytest.fixture
def studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def no_work(*_: object, **__: object) -> None:
        raise AssertionError("the work began")

    for place in ("select", "map"):
        monkeypatch.setattr(f"xssr_strategy.commands.{place}.open_command_pool", no_work)
    monkeypatch.setattr("xssr_strategy.demo.command.write_phantoms", no_work)
    return write(tmp_path / "studies", 3, 1)


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main([str(word) for word in words]) == 2
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    return printed.out.removeprefix("xssr: ").strip()


@pytest.mark.parametrize("command", ["select", "map"])
@pytest.mark.parametrize(
    ("out", "sentence"),
    [
        ("{0}", "is a folder; name a file in it."),
        ("{0}/none/x.html", "its folder does not exist; make it or name another."),
        (
            "/proc/x.html",
            "cannot be written (No such file or directory); name a file in a folder that you can write to.",
        ),
        ("{0}/" + "x" * 300, "cannot be written (File name too long); name a file"),
        ("{0}/dangling", "cannot be written (No such file or directory); name a file"),
    ],
)
def test_out_is_tried_before_the_work(studies: Path, capsys, command: str, out: str, sentence: str) -> None:
    (studies.parent / "dangling").symlink_to("/proc/nothing")
    file = out.format(studies.parent)
    assert refused(capsys, command, "--studies", studies, "--out", file).startswith(f"--out {file}: {sentence}")


@pytest.mark.parametrize(
    ("command", "option", "name"),
    [("select", "--worklist", "x.csv"), ("select", "--plot", "x.png"), ("map", "--png", "x.png")],
)
def test_every_other_output_too(studies: Path, capsys, command: str, option: str, name: str) -> None:
    out = studies.parent / "out"
    told = refused(capsys, command, "--studies", studies, "--out", out, option, f"/proc/{name}")
    assert told.startswith(f"{option} /proc/{name}: cannot be written")
    folder = studies.parent / name
    folder.mkdir()
    told = refused(capsys, command, "--studies", studies, "--out", out, option, folder)
    assert told == f"{option} {folder}: is a folder; name a file in it."
    assert not out.exists()


def test_the_working_directory_is_where_picks_go_by_default(studies: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir("/proc")
    assert refused(capsys, "select", "--studies", studies).startswith("--out picks.csv: cannot be written")
    assert refused(capsys, "map", "--studies", studies).startswith("--out map.html: cannot be written")
    assert refused(capsys, "demo").startswith("--out demo: cannot be written")


def test_folders_are_tried_too(studies: Path, capsys) -> None:
    file = studies.parent / "file"
    file.touch()
    assert (
        refused(capsys, "demo", "--out", file) == f"--out {file}: cannot be written (File exists); name another folder."
    )
    assert refused(capsys, "demo", "--out", "/proc/demo").startswith("--out /proc/demo: cannot be written")
    assert refused(capsys, "demo", "--out", studies).endswith(
        "holds files that are not of a demo; name another folder."
    )
    for option, out in (("--out", file), ("--out", "/proc/x")):
        with pytest.raises(UserError, match=f"^{option} {out}: "):
            make_folder(option, Path(out))


def test_two_outputs_or_an_input_in_one_file(studies: Path, capsys) -> None:
    out = studies.parent / "x.csv"
    told = refused(capsys, "select", "--studies", studies, "--out", out, "--worklist", out)
    assert told == f"--worklist {out}: is the file of --out, too; name another."
    out.write_text("i00\n")
    told = refused(capsys, "select", "--studies", studies, "--out", out, "--exclude", out)
    assert told == f"--out {out}: is the file of --exclude, too; name another."
    out.write_text("image,site\ni00,Bern\n")
    assert "is the file of --sites, too" in refused(capsys, "map", "--studies", studies, "--out", out, "--sites", out)
    assert out.read_text() == "image,site\ni00,Bern\n"
    page = out.with_suffix(".html")
    told = refused(capsys, "select", "--studies", "http://127.0.0.1:9/none", "--out", out, "--worklist", page)
    assert told == f"the page of --worklist {page}: is the file of --worklist, too; name another."


def test_a_picture_among_the_images_would_be_one_of_them(studies: Path, capsys) -> None:
    source = write(studies.parent / "source", 2, 2)
    (source / "sub").mkdir()
    for folder, where in ((studies, "--studies"), (source / "sub", "--source")):
        for command, option in (("select", "--plot"), ("map", "--png")):
            asked = (command, "--studies", studies, "--source", source, "--out", studies.parent / "o")
            told = refused(capsys, *asked, option, folder / "x.png")
            assert f"lies in {where} and would count as an image" in told


def test_trying_changes_nothing(tmp_path: Path) -> None:
    there, new, link = (tmp_path / name for name in ("there", "new", "link"))
    there.write_text("kept")
    os.utime(there, ns=(1_000, 1_000))
    link.symlink_to(tmp_path / "target")
    check_outputs({"--out": there, "--plot": new, "--png": link, "--worklist": None}, {"--exclude": None})
    assert there.read_text() == "kept"
    assert there.stat().st_mtime_ns == 1_000
    assert not new.exists()
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "there"]
    check_outputs({"--out": Path("/dev/stdout")}, {})  # neither opened nor removed


def test_what_breaks_while_writing_is_a_sentence_and_a_full_disk_is_told_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--out .* cannot be written"), writing("--out", tmp_path / "x"):
        (tmp_path / "gone" / "x").write_text("")
    with (
        pytest.raises(OSError, match="No space left"),
        writing("--out", Path("/dev/full")),
        Path("/dev/full").open("w") as full,
    ):
        full.write("x")
