"""A registry on loopback with a few packages, and sets made of them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import subprocess
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mainstem.sandbox.deno import find_deno

FILES = {
    "index.js": "module.exports = 'hello'\n",
    "index.js.map": "{}",
    "index.d.ts": "export {}\n",
    "__tests__/index.test.js": "throw new Error('a test')\n",
    "danger.js": "require('fs').writeFileSync('ran', '')\n",
}


class Registry:
    """Serves `greeting` 1.0.0, which would like to run a script when it is installed. Keeps what was asked for."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str | None]] = []
        self.tarball = _tarball()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Registry:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def metadata(self) -> dict[str, Any]:
        """What a registry says of the package."""
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(self.tarball).digest()).decode()
        version = {
            "name": "greeting",
            "version": "1.0.0",
            "dist": {"tarball": f"{self.url}greeting/-/greeting-1.0.0.tgz", "integrity": integrity},
            "scripts": {"postinstall": "node danger.js"},
            "hasInstallScript": True,
        }
        return {"name": "greeting", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}

    def write_set(self, folder: Path, variables: dict[str, str]) -> None:
        """A package.json that asks for `greeting`, and the lock that Deno makes of it."""
        folder.mkdir(parents=True)
        (folder / "package.json").write_text(json.dumps({"dependencies": {"greeting": "1.0.0"}}))
        subprocess.run(
            [find_deno(), "install", "--quiet", "--node-modules-dir=none"],
            cwd=folder,
            env={**os.environ, **variables},
            check=True,
        )
        self.requests.clear()

    def _handler(registry) -> type[BaseHTTPRequestHandler]:  # noqa: N805  # `self` is the handler's
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.requests.append((self.path, self.headers.get("Authorization")))
                is_tarball = self.path.endswith(".tgz")
                body = registry.tarball if is_tarball else json.dumps(registry.metadata).encode()
                self.send_response(200 if "greeting" in self.path else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _tarball() -> bytes:
    manifest = {
        "name": "greeting",
        "version": "1.0.0",
        "main": "index.js",
        "scripts": {"postinstall": "node danger.js"},
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in {"package.json": json.dumps(manifest), **FILES}.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size, entry.mode = len(text.encode()), 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()
