"""`mainstem serve` with any flags, on ports that it chooses, read from what it prints."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
import signal
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import databases
from journeys.running import MAINSTEM, clean_environment

OWNER_TOKEN = "owner-token-for-the-tests-of-serve"
STOP_SECONDS = 60


class Served(msgspec.Struct):
    """A running server and what it said about itself."""

    process: subprocess.Popen[str]
    api_url: str
    tracking_url: str
    log: Path

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it by a signal; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(STOP_SECONDS)


def start(folder: Path, *flags: str, log: Path) -> subprocess.Popen[str]:
    """Start `mainstem serve`; what it says goes to a pipe, what it logs to `log`."""
    command = [str(MAINSTEM), "serve", "--data", str(folder), *flags]
    environment = clean_environment(
        {"MAINSTEM_OWNER_TOKEN": OWNER_TOKEN, **databases.variables_of_first_start(folder)}
    )
    with log.open("ab") as errors:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )


@contextmanager
def served(tmp_path: Path, *flags: str) -> Iterator[Served]:
    """A server that is up; it is stopped at the end, if it still runs."""
    log = tmp_path / "serve.log"
    process = start(tmp_path / "data", *flags, log=log)
    try:
        said = words_of_start(process)
        assert "is up" in said, f"{said}\n{log.read_text()}"
        yield Served(process, found(said, "Public API"), found(said, "Tracking API"), log)
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)
        assert process.stdout is not None
        process.stdout.close()


def words_of_start(process: subprocess.Popen[str]) -> str:
    """What it says until it is up, or until it ends."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("Ctrl-C"):
            break
    return said


def found(said: str, name: str) -> str:
    """The URL that stands behind a name."""
    match = re.search(rf"{name} +(\S+)", said)
    assert match, said
    return match.group(1)


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for loopback, signed by its own key; both as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mainstem.test")])
    addresses = [x509.IPAddress(ipaddress.ip_address(each)) for each in ("127.0.0.1", "::1")]
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), *addresses]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


def trusting(certificate: Path, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """What a client needs that trusts this certificate alone."""
    context = ssl.create_default_context(cafile=str(certificate))
    context.maximum_version = newest
    return context
