"""A server on loopback that answers as a function says: real HTTP for tests of clients."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

Answer = tuple[int, bytes]


@dataclass(frozen=True)
class Request:
    """What a client asked for, and the authorization that it sent."""

    path: str
    query: dict[str, str]
    authorization: str | None


@dataclass
class Server:
    """How it answers, and what it was asked; `failures` come before any other answer."""

    answer: Callable[[Request], Answer]
    failures: list[Answer] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)
    address: str = ""


@contextmanager
def served(answer: Callable[[Request], Answer]) -> Iterator[Server]:
    """A server, as long as the context lasts."""
    server = Server(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            sent = self.headers.get("Authorization")
            server.asked.append(Request(parts.path, dict(parse_qsl(parts.query)), sent))
            status, body = (
                server.failures.pop(0) if server.failures else server.answer(server.asked[-1])
            )
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        server.address = f"http://127.0.0.1:{http.server_address[1]}"
        yield server
        http.shutdown()
