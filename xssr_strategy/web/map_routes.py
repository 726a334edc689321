"""The map of the pool in a browser, ``/xssr/map``: drawn from what the scoring process left, following the annotators.

The page itself holds no data: a browser that opens an address sends no token. What it then asks for needs MONAI Label's
user role, as MONAI Label's own routes do.
"""

from __future__ import annotations

import gzip
import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, HTTPException
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from monailabel.config import RBAC_USER, settings
from monailabel.endpoints.user.auth import RBAC
from monailabel.interfaces.datastore import Datastore

from xssr_strategy.embedding.store import SOURCE, TARGET
from xssr_strategy.pool_map.page import MANY, shell
from xssr_strategy.tasks.project import Project
from xssr_strategy.tasks.startup import startup_errors
from xssr_strategy.web.map_view import MapView

ROUTE = "/xssr/map"

router = APIRouter(prefix=f"{settings.MONAI_LABEL_API_STR}{ROUTE}", tags=["XSSR"])
_user_only = [Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))]


@dataclass(frozen=True)
class _Served:
    """What the routes show.

    Attributes:
        view: the map of the app's project.
        datastore: gives the server's datastore.
        keep_up: called whenever somebody looks, so that the map is made for those who do.
    """

    view: MapView
    datastore: Callable[[], Datastore]
    keep_up: Callable[[], None]


_served: _Served | None = None


def add_map_routes(
    project: Project, studies: str, datastore: Callable[[], Datastore], keep_up: Callable[[], None] = lambda: None
) -> None:
    """From here on the server shows the map of this project.

    Args:
        project: settings, workspace and state of the work.
        studies: its folder or URL.
        datastore: gives the server's datastore.
        keep_up: called whenever somebody looks at the map.

    Raises:
        StartupError: a file of the workspace cannot be opened.
    """
    global _served
    module: Any = sys.modules.get("monailabel.app")
    if module is None:  # a background process is asked by nobody
        return
    with startup_errors():
        _served = _Served(MapView(project, studies), datastore, keep_up)
    app = module.app
    app.router.routes += [route for route in router.routes if route not in app.router.routes]  # once, for any app
    app.openapi_schema = None


async def _of_server() -> _Served:
    assert _served is not None, "the routes are added with what they show"
    return _served


Map = Annotated[_Served, Depends(_of_server)]


@router.get("", summary="Map of the pool: the page, without any data")
async def page(served: Map, if_none_match: Annotated[str, Header()] = "") -> Response:
    """The page, packed; it holds no data."""
    packed, tag = await run_in_threadpool(_packed, len(served.datastore().list_images()) > MANY)
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if if_none_match == tag:
        return Response(status_code=304, headers=headers)
    headers["Content-Encoding"] = "gzip"  # every browser takes it
    return Response(packed, headers=headers, media_type="text/html; charset=utf-8")


# What the datastore and the project are asked is asked in the thread that answers requests, as everywhere.


@router.get("/data", summary=f"{RBAC_USER}Map of the pool", dependencies=_user_only)
async def data(served: Map) -> Response:
    """The whole map."""
    served.keep_up()
    return _answer(await run_in_threadpool(served.view.whole, served.view.look(served.datastore())))


@router.get("/state", summary=f"{RBAC_USER}What has changed on the map", dependencies=_user_only)
async def state(served: Map, version: str = "") -> Response:
    """What has changed since a version."""
    served.keep_up()
    return _answer(await run_in_threadpool(served.view.since, served.view.look(served.datastore()), version))


@router.get("/thumbnail", summary=f"{RBAC_USER}Small picture of an image", dependencies=_user_only)
def thumbnail(served: Map, image: str, domain: str = TARGET) -> Response:
    """The picture of an image, as WebP."""
    picture = served.view.picture(domain, image) if domain in (SOURCE, TARGET) else None
    if picture is None:
        raise HTTPException(
            404, f"image '{image}' has no picture yet or does not exist; name the id of an image of the pool."
        )
    return Response(picture, media_type="image/webp", headers={"Cache-Control": "private, max-age=600"})


@cache
def _packed(many: bool) -> tuple[bytes, str]:
    """The page, packed, and a tag that names its content."""
    page = shell(many)
    return gzip.compress(page, 6, mtime=0), f'"{hashlib.sha256(page).hexdigest()[:16]}"'


def _answer(content: bytes) -> Response:
    return Response(content, headers={"Cache-Control": "no-store"}, media_type="application/json")
