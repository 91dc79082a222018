"""Where Deno is, and how it is started so that what runs in it can do nothing but compute."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from mainstem.errors import SandboxUnavailable

_HERE: Final = Path(__file__).parent
ENVIRONMENT: Final[Mapping[str, str]] = {
    "DENO_DIR": "/dev/null/none",  # it keeps nothing on disk
    "DENO_NO_UPDATE_CHECK": "1",
    "NO_COLOR": "1",
}


def command(script: str, heap_mb: int) -> list[str]:
    """The command that runs one of our scripts with no permission at all: no file, environment, program, library,
    network or system call of its own. imports.json closes Node's modules to user code and opens a few to the bridge,
    by names of its own; those reach none of that either. Raises SandboxUnavailable without Deno."""
    return [
        find_deno(), "run", "--quiet", "--no-prompt", "--no-remote", "--no-npm", "--cached-only", "--no-config",
        "--no-lock", "--no-code-cache", f"--import-map={_HERE / 'imports.json'}",
        f"--v8-flags=--max-old-space-size={heap_mb}", str(_HERE / script),
    ]  # fmt: skip


def find_deno() -> str:
    """The path of Deno's binary, which its wheel brings. Raises SandboxUnavailable when there is none."""
    try:
        from deno import find_deno_bin  # type: ignore[import-untyped]  # only where functions run

        return str(find_deno_bin())
    except (ImportError, FileNotFoundError):
        beside = Path(sys.executable).with_name("deno")
        if beside.is_file():
            return str(beside)
    raise SandboxUnavailable("Deno is not installed: its binary comes with the package `deno`, which mainstem needs")
