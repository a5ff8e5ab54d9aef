"""A server of the zoo's files on this machine, over TLS, and a proxy in front of it."""

from __future__ import annotations

import io
import select
import socket
import ssl
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TLS = (
    Path(__file__).parent.parent / "data" / "tls"
)  # a made authority, whose key is gone, and a server's


@dataclass
class Repository:
    """What the server has, and what it was asked.

    Attributes:
        breaks: after how many bytes of a body each next answer breaks off.
        redirect: where to send everybody.
        headers: more headers of every answer.
        length: what to say instead of the true length.
        ranges: whether it knows ranges.
    """

    url: str = ""
    answers: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    asked_ranges: list[str | None] = field(default_factory=list)
    breaks: list[int] = field(default_factory=list)
    redirect: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    ranges: bool = True
    tag: str = '"one"'


@contextmanager
def repository_server() -> Iterator[Repository]:
    kept = Repository()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            kept.asked.append(self.path)
            kept.asked_ranges.append(wanted)
            body = kept.answers.get(self.path, b"")
            start, status = 0, 200 if self.path in kept.answers else 404
            if kept.redirect:
                status = 302
            elif wanted and kept.ranges and self.headers.get("If-Range") == kept.tag:
                start, status = int(wanted.removeprefix("bytes=").rstrip("-")), 206
                if start >= len(body):
                    start, status, body = 0, 416, b""
            self.send_response(status)
            if kept.redirect:
                self.send_header("Location", kept.redirect)
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            for name, value in {"ETag": kept.tag, **kept.headers}.items():
                self.send_header(name, value)
            length = len(body) - start if kept.length is None else kept.length
            self.send_header("Content-Length", str(length))
            self.end_headers()
            sent = body[start:]
            self.wfile.write(sent[: kept.breaks.pop(0)] if kept.breaks else sent)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        kept.url = f"https://localhost:{server.server_port}"
        yield kept
        server.shutdown()


@contextmanager
def proxy_server() -> Iterator[tuple[str, list[str]]]:
    """Give the address of a proxy for HTTPS, and where it was asked to connect to."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append(self.path)
            host, port = self.path.split(":")
            with socket.create_connection((host, int(port)), 10) as other:
                self.send_response(200)
                self.end_headers()
                ends = {self.connection: other, other: self.connection}
                while True:
                    ready, _, _ = select.select(list(ends), [], [], 10)
                    for end in ready:
                        data = end.recv(1 << 16)
                        if not data:
                            return
                        ends[end].sendall(data)
                    if not ready:
                        return

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def zipped(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return buffer.getvalue()
