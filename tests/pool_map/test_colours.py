"""What the dots can be coloured by, and the tables that say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from xssr_strategy.embedding.store import SOURCE, TARGET
from xssr_strategy.errors import UserError
from xssr_strategy.pool_map.colours import OTHERS, PALETTE, Groups, Values, as_json, colours
from xssr_strategy.pool_map.sites import name_of, sites_of
from xssr_strategy.pool_map.tables import read_dice, read_sites

IMAGES = [(TARGET, f"i{number:02}") for number in range(20)] + [(SOURCE, "i00"), (SOURCE, "s1")]


def test_only_what_is_known_is_offered() -> None:
    assert colours(IMAGES, {}, {}, {}) == ()
    one_site = dict.fromkeys(IMAGES, "here")
    assert colours(IMAGES, {"i00": 0, "i01": 0}, one_site, {}) == ()
    measured = {"dice": {"i04": 0.9}, "entropy": {"i03": 0.5}, "quality": {"i03": 0.7}}
    found = colours(IMAGES, {"i00": 0, "i01": 1}, {IMAGES[0]: "a", IMAGES[20]: "b"}, measured)
    assert [one.key for one in found] == ["cluster", "site", "entropy", "quality", "dice"]
    titles = ["cluster", "site", "entropy (nats)", "quality of the mask (0 to 1)", "Dice (0 to 1)"]
    assert [one.title for one in found] == titles
    assert [one.dark_high for one in found if isinstance(one, Values)] == [True, False, False]


def test_a_source_image_does_not_take_what_is_said_of_its_namesake() -> None:
    cluster, entropy = colours(IMAGES, {"i00": 0, "i01": 1}, {}, {"entropy": {"i00": 0.123456}})
    assert isinstance(cluster, Groups)
    assert cluster.numbers[0] == 0
    assert cluster.numbers[20] is None
    assert isinstance(entropy, Values)
    assert entropy.values[0] == 0.1235
    assert entropy.values[20] is None


def test_more_sites_than_colours() -> None:
    sites = {name: f"site {max(0, number - 8):02}" for number, name in enumerate(IMAGES)}
    (site,) = colours(IMAGES, {}, sites, {})
    assert isinstance(site, Groups)
    assert site.names[0] == "site 00"
    assert site.names[-1] == "7 other sites"
    shades = as_json(site)["shades"]
    assert shades == [*PALETTE, OTHERS]
    assert site.numbers[-1] == len(PALETTE)


def test_clusters_may_share_colours_because_they_carry_their_number() -> None:
    (cluster,) = colours(IMAGES, {f"i{n:02}": n for n in range(20)}, {}, {})
    shown = as_json(cluster)
    assert shown["centred"]
    assert shown["shades"][0] == shown["shades"][len(PALETTE)]


def test_sites_by_table_and_by_folder(tmp_path: Path) -> None:
    pool, source = tmp_path / "new", tmp_path / "old" / "images"
    pool.mkdir()
    source.mkdir(parents=True)
    assert name_of(source) == "old"
    assert set(sites_of(IMAGES, str(pool), source).values()) == {"new", "old"}
    (pool / "sites.csv").write_text("image,site\ni01.png,north\nof no image,south\n")
    found = sites_of(IMAGES, str(pool), source)
    assert (found[TARGET, "i01"], found[TARGET, "i02"], found[SOURCE, "i00"]) == ("north", "new", "old")
    assert sites_of(IMAGES, "http://host/dicom-web", None)[TARGET, "i01"] == "http://host/dicom-web"


def test_dice_is_the_mean_of_the_rows(tmp_path: Path) -> None:
    file = tmp_path / "cases.csv"
    file.write_text("strategy,case,label,dice\nxssr,i01,a,0.5\nxssr,i01,b,1\nxssr,i02,a,\nxssr,else,a,0.1\n")
    assert read_dice(file, ["i01", "i02"]) == {"i01": 0.75}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,dice\ni01,1\n", "no columns image or case and dice"),
        ("image,dice\ni01,good\n", "the Dice of i01 is no number from 0 to 1"),
        ("image,dice\ni01,1.5\n", "the Dice of i01 is no number from 0 to 1"),
        ("image,dice\nother,0.5\n", "none of its 1 lines names one of the 1 images"),
        (b"\xff\xfe\x00", "cannot be read as text"),
    ],
)
def test_a_table_that_is_wrong_is_refused_with_a_sentence(tmp_path: Path, text: str | bytes, said: str) -> None:
    file = tmp_path / "table.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=r"^--dice ") as refused:
        read_dice(file, ["i01"])
    assert said in str(refused.value)


def test_sites_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--sites .* cannot be read"):
        read_sites(tmp_path / "none.csv", ["i01"])
