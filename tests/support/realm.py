"""The identity provider that gives tokens in tests, and the roles of MONAI Label."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

USER, ANNOTATOR, ADMIN = "monailabel-user", "monailabel-annotator", "monailabel-admin"
REVIEWER = "monailabel-reviewer"
REALM = "/realms/monailabel"


class Realm:
    """The identity provider, as far as MONAI Label asks it: the public key, and a token for a password."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        der = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.public = base64.b64encode(der).decode()
        self.users: dict[str, tuple[str, list[str]]] = {}
        realm = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pages = {
                    REALM: {"realm": "monailabel", "public_key": realm.public},
                    f"{REALM}/.well-known/openid-configuration": {"token_endpoint": f"{realm.uri}/token"},
                }
                self.answer(200 if self.path in pages else 404, pages.get(self.path, {}))

            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
                name, password = form["username"][0], form["password"][0]
                if realm.users.get(name, ("", []))[0] != password:
                    self.answer(401, {"error": "invalid_grant"})
                else:
                    self.answer(200, {"access_token": realm.token(realm.users[name][1]), "token_type": "Bearer"})

            def answer(self, status: int, content: dict[str, Any]) -> None:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(content).encode())

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_address[1]}{REALM}"

    def __enter__(self) -> Realm:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def claims(self, roles: Sequence[str], lasts: float = 600) -> dict[str, Any]:
        return {
            "preferred_username": "ann",
            "realm_access": {"roles": list(roles)},
            "exp": int(time.time() + lasts),
        }

    def token(self, roles: Sequence[str], lasts: float = 600, algorithm: str = "RS256") -> str:
        return jwt.encode(self.claims(roles, lasts), self.key, algorithm)

    def pem(self) -> bytes:
        """The public key as MONAI Label makes it of the realm's answer."""
        return f"-----BEGIN PUBLIC KEY-----\n{self.public}\n-----END PUBLIC KEY-----".encode()
