"""The map as a page: a file that holds everything, or the empty shell that a server hands out.

Its policy lets the page run the scripts in it, each known by its digest, and no others: what an id or a file's name
holds can never become code. The page of a file may not even ask for anything; that of a server asks that server only.
Plotly's WebGL makes programs of its own at run time, so a page that needs it, and no other, allows ``eval`` to these
scripts.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from xssr_strategy.pool_map.content import MapContent

MANY = 3_000
"""Images above which WebGL draws the dots, if the browser has it; our choice. Remote desktops often have none."""

_OWN = ("figure.js", "card.js", "page.js")


def offline_page(content: MapContent, pictures: Sequence[bytes | None], colour: str) -> str:
    """The whole map in one page that needs no network.

    Args:
        content: of the pool.
        pictures: WebP file of each image, in the order of its ``ids``.
        colour: what the dots are coloured by at first, one of ``colours.CHOICES``.
    """
    encoded = [None if one is None else base64.b64encode(one).decode("ascii") for one in pictures]
    data = {"content": content.whole(), "pictures": encoded}
    fixed = content.fixed
    many = len(fixed["ids"]) > MANY
    return _page("offline.js", data, title=fixed["title"], colour=colour, many=many, served=False)


@cache
def shell(many: bool) -> bytes:
    """The page without any data, in UTF-8; it asks for them.

    Args:
        many: the pool has more than ``MANY`` images.
    """
    return _page("served.js", {}, title="", colour="", many=many, served=True).encode()


def _page(last: str, data: Mapping[str, Any], **values: Any) -> str:
    scripts = [get_plotlyjs(), *(_read(name) for name in (*_OWN, last))]
    digests = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    evaluates = " 'unsafe-eval'" if values["many"] else ""
    asks = "connect-src 'self'; form-action 'self'; " if values["served"] else "form-action 'none'; "
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_read("map.html.jinja")).render(
        policy=Markup(  # noqa: S704 - digests and fixed words
            f"default-src 'none'; script-src {digests}{evaluates}; style-src 'unsafe-inline'; "
            f"img-src data: blob:; base-uri 'none'; {asks}"
        ),
        style=Markup(_read("map.css")),  # noqa: S704 - our own file
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - the library's and our own
        data={name: Markup(_json(value)) for name, value in data.items()},  # noqa: S704 - no "<" is left in it
        **values,
    )


def _json(value: Any) -> str:
    """JSON that cannot end the element that holds it."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _read(name: str) -> str:
    return files("xssr_strategy.pool_map").joinpath(name).read_text(encoding="utf-8")
