"""The settings of a server, checked."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from seqrec.errors import SeqRecError
from seqrec.files import read_text
from seqrec.serving.limits import MAX_BODY_KB

TOKEN_VARIABLE = "SEQREC_TOKEN"
LEAST_TOKEN_LETTERS = 16


@dataclass(frozen=True)
class ServerSettings:
    """The settings of a server."""

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    """The bearer token that requests must carry; None: requests from this machine only."""
    batch_size: int = 64
    """Histories that are ranked at once."""
    queue_size: int = 256
    """Histories that may wait; more are refused with 429."""
    timeout_seconds: float = 5.0
    """Time after which a request is answered with 504."""
    max_body_kb: int = MAX_BODY_KB
    cors_origins: Sequence[str] = ()
    """Origins of other sites whose scripts may call this server."""
    logs_requests: bool = True
    logs_histories: bool = False
    """Write the histories of requests into the log."""
    drain_seconds: float = 1.0
    """Time between a signal to end and the last connection that is accepted."""

    def check(self) -> None:
        """Refuse settings that cannot hold.

        Raises:
            SeqRecError: a number out of range, or an open port without a token.
        """
        if not 0 <= self.port < 1 << 16:
            raise SeqRecError(f"--port {self.port}: 0 (any free one) to 65535")
        for name in ("batch_size", "queue_size", "max_body_kb"):
            if not 1 <= getattr(self, name) <= 1 << 20:
                option = "--" + name.replace("_", "-")
                raise SeqRecError(f"{option} {getattr(self, name)}: 1 to {1 << 20}")
        if not 0 < self.timeout_seconds <= 3600:
            raise SeqRecError(f"--timeout {self.timeout_seconds:g}: seconds, up to 3600")
        if not 0 <= self.drain_seconds <= 600:
            raise SeqRecError(f"--drain {self.drain_seconds:g}: seconds, up to 600")
        for origin in self.cors_origins:
            if origin != "*" and not origin.startswith(("http://", "https://")):
                raise SeqRecError(f"--cors {origin}: an origin such as https://example.org")
        if self.token is None and not is_loopback(self.host):
            raise SeqRecError(
                f"--host {self.host}: other machines can reach it; set {TOKEN_VARIABLE} or "
                "--token-file, or leave out --host"
            )


def is_loopback(host: str) -> bool:
    """Return True for a name or address that only this machine reaches."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def read_token(file: Path | None) -> str | None:
    """Return the token of a file or, failing that, of the environment; None if there is none.

    Raises:
        SeqRecError: no such file, or a token that is short or holds blanks.
    """
    if file is not None:
        token, source = read_text(file, "name a file with a token", 1 << 16), f"--token-file {file}"
    else:
        token, source = os.environ.get(TOKEN_VARIABLE, ""), TOKEN_VARIABLE
        if not token:
            return None
    token = token.strip()
    is_plain = token.isascii() and token.isprintable() and " " not in token
    if not is_plain or len(token) < LEAST_TOKEN_LETTERS:
        raise SeqRecError(
            f"{source}: a token has at least {LEAST_TOKEN_LETTERS} letters and digits without "
            "blanks; openssl rand -hex 32 makes one"
        )
    return token
