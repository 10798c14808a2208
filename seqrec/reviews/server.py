"""The local server of the review page: loopback alone, a token in the address, one file."""

import base64
import hashlib
import json
import re
import secrets
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from seqrec.errors import SeqRecError
from seqrec.reviews.desk import Desk, StaleDraftError
from seqrec.reviews.log import Review

PAGE = Path(__file__).parent / "page" / "review.html"
LOOPBACK = "127.0.0.1"
TOKEN_BYTES = 18
MAX_BODY_BYTES = 1 << 18
TIMEOUT_SECONDS = 10
FIELDS = ("reviewer", "draft", "action", "text", "over")


class ReviewServer(ThreadingHTTPServer):
    """Serves the page of one desk under a random path of this machine.

    The path is the secret: another site does not know it, and a browser that is led here by another
    name (DNS rebinding) sends that name in the Host header, which is refused.
    """

    daemon_threads = True

    def __init__(self, desk: Desk, port: int) -> None:
        """Listen on the loopback address.

        Args:
            desk: drafts and reviews.
            port: 0: any free one.

        Raises:
            SeqRecError: the port is taken or not allowed.
        """
        self.desk = desk
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        self.page = PAGE.read_bytes()
        self.policy = _build_policy(self.page.decode())
        self.is_open = True
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except (OSError, OverflowError) as error:
            raise SeqRecError(f"--port {port}: {error}; name another, or 0 for any") from error

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{LOOPBACK}:{self.server_port}/{self.token}/"

    def server_close(self) -> None:
        """Listen no more; connections that a browser opened ahead get no answer."""
        self.is_open = False
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks ends alone."""


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    timeout = TIMEOUT_SECONDS
    server_version, sys_version = "seqrec", ""

    def do_GET(self) -> None:
        name, query = self._read_path()
        if name == "":
            self._send(HTTPStatus.OK, self.server.page, "text/html; charset=utf-8")
        elif name == "state":
            reviewer = parse_qs(query).get("reviewer", [""])[0].strip()
            self._answer(lambda: self.server.desk.get_state(reviewer))
        elif name is not None:
            self._send_json(HTTPStatus.NOT_FOUND, {"error": "no such page"})

    def do_POST(self) -> None:
        name, _ = self._read_path()
        if name not in ("review", "undo"):
            if name is not None:
                self._send_json(HTTPStatus.NOT_FOUND, {"error": "no such page"})
            return
        body = self._read_body()
        if body is None:
            return
        desk, reviewer = self.server.desk, str(body.get("reviewer", "")).strip()

        def act() -> dict[str, Any]:
            if name == "undo":
                taken = desk.undo(reviewer)
                return {**desk.get_state(reviewer), "undone": taken.action}
            texts = {field: str(body.get(field) or "") for field in FIELDS}
            reasons = body.get("reasons") or []
            if not isinstance(reasons, list):
                raise SeqRecError("reasons: a list of criteria")
            texts["reviewer"] = reviewer
            desk.review(Review(**texts, reasons=tuple(map(str, reasons))))
            return desk.get_state(reviewer)

        self._answer(act)

    def log_message(self, *args: Any) -> None:
        """No line a request."""

    def _answer(self, act: Any) -> None:
        try:
            self._send_json(HTTPStatus.OK, act())
        except StaleDraftError as error:
            self._send_json(HTTPStatus.CONFLICT, {"error": str(error)})
        except SeqRecError as error:
            self._send_json(HTTPStatus.BAD_REQUEST, {"error": str(error)})

    def _read_path(self) -> tuple[str | None, str]:
        """Return the name after the token, and the query; None once a refusal is sent."""
        if not self.server.is_open:
            self.close_connection = True
            return None, ""
        port = self.server.server_port
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin")
        hosts = {f"{LOOPBACK}:{port}", f"localhost:{port}"}
        if host not in hosts or (origin is not None and origin not in {f"http://{host}"}):
            self._refuse("this address is not served")
            return None, ""
        parts = urlsplit(self.path)
        token, _, name = parts.path.removeprefix("/").partition("/")
        if not secrets.compare_digest(token.encode(), self.server.token.encode()):
            self._refuse("wrong address; open the one that seqrec review printed")
            return None, ""
        return name, parts.query

    def _read_body(self) -> dict[str, Any] | None:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"\d{1,9}", length) or int(length) > MAX_BODY_BYTES:
            self._send_json(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": "too long"})
            return None
        text = self.rfile.read(int(length))
        try:
            body = json.loads(text)
            if not isinstance(body, dict):
                raise ValueError
        except (ValueError, RecursionError):
            self._send_json(HTTPStatus.BAD_REQUEST, {"error": "no JSON object"})
            return None
        return body

    def _refuse(self, why: str) -> None:
        self._send_json(HTTPStatus.FORBIDDEN, {"error": why})

    def _send_json(self, status: HTTPStatus, value: Any) -> None:
        content = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
        self._send(status, content, "application/json")

    def _send(self, status: HTTPStatus, content: bytes, media_type: str) -> None:
        headers = {
            "Content-Type": media_type,
            "Content-Length": str(len(content)),
            "Content-Security-Policy": self.server.policy,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
        }
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _build_policy(page: str) -> str:
    """Return a Content-Security-Policy that allows the page's own script and style alone."""
    allowed = {}
    for tag in ("script", "style"):
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        hashes = [hashlib.sha256(one.encode()).digest() for one in found]
        allowed[tag] = " ".join(f"'sha256-{base64.b64encode(one).decode()}'" for one in hashes)
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {allowed['script']}",
            f"style-src {allowed['style']}",
            "img-src data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        )
    )
