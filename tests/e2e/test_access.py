"""Who gets in, with ``MONAI_LABEL_AUTH_ENABLE``: a real server and a realm that signs tokens."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import psutil
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.harness import APP, environment
from tests.support.pools import write
from tests.support.realm import ADMIN, ANNOTATOR, REVIEWER, USER, Realm
from tests.support.slicer import Refused, Slicer
from tests.support.warm import start_server
from xssr_strategy.demo.server import Server
from xssr_strategy.web.auth import ALGORITHMS

pytestmark = pytest.mark.e2e

# What anybody may see, and why.
OPEN = {
    ("GET", "/"): "page that shows the interface; no data",
    ("GET", "/docs"): "the same",
    ("HEAD", "/docs"): "the same",
    ("GET", "/openapi.json"): "what the page shows",
    ("HEAD", "/openapi.json"): "the same",
    ("GET", "/favicon.ico"): "an icon",
    ("GET", "/static"): "files of these pages",
    ("GET", "/auth/"): "viewers ask here whether they need a token",
    ("POST", "/auth/token"): "here viewers get one",
    ("GET", "/xssr/map"): "a page without any data, which asks for them with a token",
}

# The routes of MONAI Label with our app on the studies, each with the roles that open it. Run in a process of its own,
# because MONAI Label reads its settings once.
_LIST_ROUTES = """
import json, sys
sys.stdout = sys.stderr
from monailabel.app import app
from monailabel.endpoints.user.auth import RBAC
from monailabel.interfaces.utils.app import app_instance
app_instance(app_dir=sys.argv[1], studies=sys.argv[2], conf={"encoder_steps": "2"})
def roles(route):
    guards = [one.call for one in route.dependant.dependencies] if hasattr(route, "dependant") else []
    return [one.roles for one in guards if isinstance(one, RBAC)]
def flat(routes):
    for route in routes:
        included = getattr(route, "original_router", None)  # of FastAPI 0.130 and later
        if included is not None:
            yield from flat(included.routes)
        else:
            yield from ((method, route.path, *roles(route)) for method in getattr(route, "methods", None) or ["GET"])
print(json.dumps(sorted(set(flat(app.routes)))), file=sys.__stdout__)
"""


@dataclass(frozen=True)
class Guarded:
    """A server, its realm, and every way to it: method and path, with the role that opens it, if any does."""

    server: Server
    realm: Realm
    routes: dict[tuple[str, str], str | None]

    def ask(self, method: str, path: str, token: str | None = None, **more: Any) -> requests.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        url = self.server.url + re.sub(r"\{[^}]*\}", "x", path)
        return requests.request(method, url, headers=headers, timeout=300, allow_redirects=False, **more)

    def closed(self) -> list[tuple[str, str]]:
        """The routes that need a token."""
        return [route for route in self.routes if route not in OPEN]

    def status(self, token: str | None) -> int:
        return self.ask("GET", "/info/", token).status_code


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("access")
    studies = write(folder / "studies", 8, 1)
    with Realm() as realm, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MONAI_LABEL_AUTH_ENABLE", "true")
        patch.setenv("MONAI_LABEL_AUTH_REALM_URI", realm.uri)
        listing = subprocess.run(
            [sys.executable, "-c", _LIST_ROUTES, str(APP), str(studies)],
            env=environment(),
            capture_output=True,
            check=True,
            timeout=300,
        )
        routes = {(method, path): roles[0] if roles else None for method, path, *roles in json.loads(listing.stdout)}
        with start_server(studies, {"encoder_steps": 2}, folder / "server.log") as server:
            yield Guarded(server, realm, routes)


def test_the_server_and_its_background_processes_listen_on_one_port_of_this_machine(guarded: Guarded) -> None:
    port = int(guarded.server.url.rpartition(":")[2])
    token = guarded.realm.token([USER, ADMIN])
    assert guarded.ask("POST", "/train/encoder", token).status_code == 200
    sizes = set()
    while guarded.ask("GET", "/train/", token).json()["status"] in ("SUBMITTED", "RUNNING"):
        server = psutil.Process(guarded.server.pid)
        family = {server.pid, *(child.pid for child in server.children(recursive=True))}
        sockets = [it for it in psutil.net_connections("inet") if it.pid in family]
        listening = {(*it.laddr,) for it in sockets if it.status == psutil.CONN_LISTEN or not it.raddr}
        assert listening == {("127.0.0.1", port)}
        sizes.add(len(family))
        time.sleep(0.1)
    assert max(sizes) > 1


def test_the_routes_are_all_there(guarded: Guarded) -> None:
    shown = guarded.ask("GET", "/openapi.json").json()["paths"]
    methods = {(method.upper(), path) for path, ways in shown.items() for method in ways}
    assert methods <= set(guarded.routes)
    assert {("GET", "/xssr/map"), ("GET", "/xssr/map/data")} <= methods  # ours are among them
    assert len(guarded.routes) > len(methods)  # and the hidden ones
    assert set(OPEN) <= set(guarded.routes)


def test_without_a_token_every_route_is_closed_but_the_open_ones(guarded: Guarded) -> None:
    answers = {route: guarded.ask(*route).status_code for route in guarded.closed()}
    assert {route: status for route, status in answers.items() if status != 401} == {}


@pytest.mark.parametrize("role", [USER, ANNOTATOR, REVIEWER, ADMIN])
def test_a_role_opens_the_routes_that_need_it_and_no_other(guarded: Guarded, role: str) -> None:
    """What a role opens is asked for what does not exist."""
    token, nothing = guarded.realm.token([role]), {"method": "nobody", "model": "nobody", "strategy": "nobody"}
    answers = {route: guarded.ask(*route, token, json=nothing).status_code for route in guarded.closed()}
    needed = {route: guarded.routes[route] for route in answers if route != ("GET", "/auth/token/valid")}
    assert None not in needed.values()
    shut = {route: status for route, status in answers.items() if needed.get(route, role) != role}
    assert {route: status for route, status in shut.items() if status != 403} == {}
    opened = {route: status for route, status in answers.items() if route not in shut}
    assert {route: status for route, status in opened.items() if status in (401, 403, 500)} == {}


def test_a_network_is_replaced_and_deleted_by_an_admin_alone(guarded: Guarded) -> None:
    for method in ("PUT", "DELETE"):
        assert guarded.routes[method, "/model/{model}"] == ADMIN


def test_nobody_reloads_the_app(guarded: Guarded) -> None:
    assert guarded.ask("POST", "/reload").status_code in (401, 404)
    assert guarded.ask("POST", "/reload", guarded.realm.token([])).status_code in (403, 404)


def test_a_token_without_a_role_opens_nothing(guarded: Guarded) -> None:
    for token in (guarded.realm.token([]), guarded.realm.token(["someone-elses-role"])):
        answers = {route: guarded.ask(*route, token).status_code for route in guarded.closed()}
        assert answers.pop(("GET", "/auth/token/valid")) == 200
        assert {route: status for route, status in answers.items() if status != 403} == {}


def test_a_token_without_any_field_of_roles_opens_nothing(guarded: Guarded) -> None:
    claims = guarded.realm.claims([])
    del claims["realm_access"]
    assert guarded.status(jwt.encode(claims, guarded.realm.key, "RS256")) == 403


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512"])
def test_a_user_gets_the_next_sample(guarded: Guarded, algorithm: str) -> None:
    token = guarded.realm.token([USER], algorithm=algorithm)
    answer = guarded.ask("POST", "/activelearning/xssr", token, json={"client_id": algorithm})
    assert answer.status_code == 200
    image = answer.json()["id"]
    assert guarded.ask("GET", f"/datastore/image?image={image}", token).status_code == 200


def test_who_may_look_may_not_label_or_train(guarded: Guarded) -> None:
    token = guarded.realm.token([USER])
    for route in (("PUT", "/datastore/label"), ("POST", "/train/segmentation"), ("GET", "/logs/")):
        assert guarded.ask(*route, token).status_code == 403
    assert guarded.ask("GET", "/logs/", guarded.realm.token([ADMIN])).status_code == 200


def test_slicer_logs_in_with_name_and_password(guarded: Guarded, tmp_path: Path) -> None:
    guarded.realm.users["ann"] = ("secret", [USER, ANNOTATOR])
    slicer = Slicer(guarded.server.url, tmp_path, "ann", same_machine=True, login=("ann", "secret"))
    slicer.connect()
    assert slicer.menu("strategies")[0] == "xssr"
    assert slicer.next_sample()["id"]
    assert slicer.scene is not None
    assert slicer.scene.file.exists()


def test_slicer_with_a_wrong_password(guarded: Guarded, tmp_path: Path) -> None:
    guarded.realm.users["eve"] = ("secret", [USER])
    slicer = Slicer(guarded.server.url, tmp_path, "eve", login=("eve", "guessed"))
    with pytest.raises(Refused) as refused:
        slicer.connect()
    assert refused.value.status == 401
    form = {"username": "eve", "password": "guessed", "grant_type": "password"}
    assert guarded.ask("POST", "/auth/token", data=form).status_code == 401


def test_expired(guarded: Guarded) -> None:
    assert guarded.status(guarded.realm.token([USER], lasts=30)) == 200
    assert guarded.status(guarded.realm.token([USER], lasts=-1)) == 401


def test_of_another_realm(guarded: Guarded) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert guarded.status(jwt.encode(guarded.realm.claims([USER]), other, "RS256")) == 401


def test_changed_after_it_was_signed(guarded: Guarded) -> None:
    head, _, signature = guarded.realm.token([USER]).split(".")
    assert guarded.status(f"{head}.{_part(guarded.realm.claims([USER, ADMIN]))}.{signature}") == 401


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_signed_with_the_public_key_as_the_secret(guarded: Guarded, algorithm: str) -> None:
    head = f"{_part({'alg': algorithm, 'typ': 'JWT'})}.{_part(guarded.realm.claims([USER]))}"
    digest = getattr(hashlib, algorithm.replace("HS", "sha"))
    for secret in (guarded.realm.pem(), guarded.realm.pem() + b"\n", guarded.realm.public.encode()):
        signature = hmac.new(secret, head.encode(), digest).digest()
        assert guarded.status(f"{head}.{_base64(signature)}") == 401


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", ""])
def test_not_signed(guarded: Guarded, algorithm: str) -> None:
    head = f"{_part({'alg': algorithm, 'typ': 'JWT'})}.{_part(guarded.realm.claims([USER]))}"
    assert guarded.status(f"{head}.") == 401


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "null"])
def test_no_token_at_all(guarded: Guarded, token: str) -> None:
    assert guarded.status(token) == 401
    assert guarded.ask("GET", f"/info/?token={token}").status_code == 401


def test_no_traceback_and_no_token_in_the_log(guarded: Guarded) -> None:
    log = guarded.server.log.read_text(encoding="utf-8", errors="replace")
    assert "Traceback" not in log, log[log.index("Traceback") :][:3000]
    assert "eyJ" not in log  # how every token begins


def test_only_keys_that_cannot_sign_verify() -> None:
    assert all(algorithm.startswith("RS") for algorithm in ALGORITHMS)


def _part(content: dict[str, Any]) -> str:
    return _base64(json.dumps(content).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
