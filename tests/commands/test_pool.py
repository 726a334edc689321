"""``xssr pool``: what is where, and how it comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.app import App
from tests.support.pools import write
from xssr_strategy.cli import main


@pytest.fixture
def app(tmp_path, monkeypatch) -> App:
    monkeypatch.setattr("xssr_strategy.datastores.studies.settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD", False)
    monkeypatch.setenv("COLUMNS", "200")
    app = App(tmp_path)
    (app.studies / "bad[1].png").write_bytes(b"no image")
    app.datastore.refresh()
    app.score()
    return app


def pool(app: App, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    status = main(["pool", "--studies", str(app.studies), *more])
    return status, capsys.readouterr().out


def test_lists_every_kind_with_its_reason_and_puts_it_back(app: App, capsys) -> None:
    labelled, leased, skipped = (app.ask("ann")["id"] for _ in range(3))
    app.label(labelled)
    status, printed = pool(app, capsys, "--skip", skipped, "--reason", "motion")
    assert status == 0
    lines = {line.split()[1]: line for line in printed.splitlines() if "│" in line}
    assert "labelled" in lines[labelled]
    assert "leased" in lines[leased]
    assert "to ann until 20" in lines[leased]
    assert "skipped" in lines[skipped]
    assert "motion" in lines[skipped]
    assert "failed" in lines["bad[1]"]
    assert "bad[1].png" in lines["bad[1]"]
    assert "13 of 17 images are waiting." in printed

    status, printed = pool(app, capsys, "--back", leased, skipped, "bad[1]")
    assert status == 0
    assert "0 skipped, 3 put back." in printed
    assert "16 of 17 images are waiting." in printed
    assert app.ask("bob")["id"] == leased
    app.score()
    assert list(app.project.failed) == ["bad[1]"]  # looked at again, and still no image


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--skip", "nothing", "--reason", "motion"], "--skip nothing: no image of"),
        (["--skip", "i00"], "--skip needs --reason TEXT"),
        (["--skip", "i00", "--reason", " "], "--skip needs --reason TEXT"),
        (["--back", "i00"], "--back i00: it is not leased, skipped or failed; nothing was changed."),
        (["--skip", "i00", "--reason", "motion", "--back", "nothing"], "--back nothing: it is not leased"),
    ],
)
def test_what_cannot_be_done_changes_nothing(app: App, capsys, more: list[str], sentence: str) -> None:
    status, printed = pool(app, capsys, *more)
    assert status == 2
    assert sentence in printed
    assert app.project.leases.skipped() == {}


def test_a_labelled_image_comes_back_by_its_label(app: App, capsys) -> None:
    image = app.ask("ann")["id"]
    app.label(image)
    status, printed = pool(app, capsys, "--back", image)
    assert status == 2
    assert "it is labelled" in printed
    assert str(app.studies / "labels" / "final") in printed


def test_a_folder_without_a_server(tmp_path: Path, capsys) -> None:
    studies = write(tmp_path / "studies", 2, 1)
    assert main(["pool", "--studies", str(studies)]) == 2
    assert "no server has worked on these studies yet" in capsys.readouterr().out
    assert not (studies / ".xssr").exists()


def test_select_leaves_out_what_was_skipped(app: App, tmp_path, capsys) -> None:
    first = app.project.ranking.picks[0].image
    pool(app, capsys, "--skip", first, "--reason", "motion")
    out = tmp_path / "picks.csv"
    assert main(["select", "--studies", str(app.studies), "--out", str(out), "--encoder-steps", "1"]) == 0
    assert "16 images in the pool" in capsys.readouterr().out
    assert first not in out.read_text()
