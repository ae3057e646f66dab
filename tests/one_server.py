"""A server of one text, and a project whose base corpus is that."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import flow
from variorum.corpus import http_download
from variorum.plan import source_lock

TEXT = "".join(f"Line {i} of a text on a server.\n" for i in range(400)).encode()
ENTRY = source_lock.LockedSource("0" * 64, 1)


@dataclass
class Server:
    """What it serves, at which address, and how often it was asked."""

    data: bytes = TEXT
    asked: list[str] = field(default_factory=list)
    address: str = ""


class Handler(BaseHTTPRequestHandler):
    """Serves that text at any address."""

    def __init__(self, served: Server, *arguments: Any) -> None:
        self.served = served
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """Send it."""
        self.served.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.served.data)))
        self.end_headers()
        self.wfile.write(self.served.data)

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


@contextmanager
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server, as long as the context lasts."""
    monkeypatch.setattr(http_download, "_PAUSE", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("VARIORUM_MIRRORS", raising=False)
    monkeypatch.delenv("VARIORUM_LOCKED", raising=False)
    served = Server()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, served)) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        served.address = f"http://127.0.0.1:{http.server_address[1]}/a/text.txt"
        yield served
        http.shutdown()


def take_base_from(server: Server, root: Path) -> None:
    """Have a project take its base corpus from the server, without a checksum.

    Without the experiments that ask other servers: no test may.
    """
    for name in ("arxiv", "lyrics"):
        (root / f"config/experiments/{name}.yaml").unlink()
    (root / "config/config.yaml").write_text(
        "experiment: micro\n"
        f"corpus: {{base: {{source: {{kind: url, url: '{server.address}'}}, "
        "split: {by: position}}}\n"
    )


def pinned_by(root: Path) -> str:
    """The SHA-256 that the base corpus's key stands on."""
    sha256: str = flow.current(root).of_stage("download")[0].spec.settings["source"]["sha256"]
    return sha256


def lock(root: Path) -> Path:
    """The lock of sources."""
    return root / source_lock.LOCK
