"""Reading ahead: in order, bounded, and an image that cannot be read does not stop the rest."""

from __future__ import annotations

from pathlib import Path

from xssr_strategy.images.ahead import read_ahead
from xssr_strategy.images.reading import UnreadableImage

IMAGES = {f"i{number:02d}": Path(f"i{number:02d}.png") for number in range(20)}


def test_reading_ahead_is_in_order_and_bounded() -> None:
    asked: list[Path] = []

    def read(path: Path) -> str:
        asked.append(path)
        return path.stem

    for count, (image, found) in enumerate(read_ahead(IMAGES, read, ahead=4), start=1):
        assert (image, found) == (f"i{count - 1:02d}", image)
        assert len(asked) <= count + 4
    assert asked == list(IMAGES.values())


def test_what_cannot_be_read_is_handed_on() -> None:
    def read(path: Path) -> str:
        if path.stem == "i03":
            raise UnreadableImage("i03.png: is no picture")
        return path.stem

    found = dict(read_ahead(IMAGES, read))
    assert str(found.pop("i03")) == "i03.png: is no picture"
    assert found == {image: image for image in IMAGES if image != "i03"}


def test_leaving_early_reads_no_more() -> None:
    asked: list[Path] = []
    ahead = read_ahead(IMAGES, asked.append, ahead=4)
    next(ahead)
    ahead.close()
    assert len(asked) <= 5
