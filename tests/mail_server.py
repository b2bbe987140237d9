"""A mail server on loopback with STARTTLS, as a mail program meets one; and a certificate for it, made here."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@cache
def certificate() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's side, and that of a client that believes it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "both.pem"
        path.write_bytes(pem + private)
        server.load_cert_chain(path)
    return server, ssl.create_default_context(cadata=pem.decode())


@dataclass
class MailServer:
    """What it got, and how it answers."""

    offers_tls: bool = True
    password: str | None = None
    answers: dict[str, str] = field(default_factory=dict)
    """By command: another answer than yes."""
    letters: list[bytes] = field(default_factory=list)
    in_the_clear: list[str] = field(default_factory=list)
    """Commands that were said before the line was encrypted."""
    port: int = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_safe = False

        async def say(line: str) -> None:
            writer.write(line.encode() + b"\r\n")
            await writer.drain()

        await say("220 loopback")
        while line := (await reader.readline()).decode().strip():
            command = line.split()[0].upper()
            if not is_safe:
                self.in_the_clear.append(command)
            if command in self.answers:
                await say(self.answers[command])
            elif command == "EHLO":
                offers = ["STARTTLS"] if self.offers_tls and not is_safe else []
                offers += ["AUTH PLAIN"] if self.password and is_safe else []
                lines = ["loopback", *offers]
                for n, offer in enumerate(lines):
                    await say(f"250{' ' if n == len(lines) - 1 else '-'}{offer}")
            elif command == "STARTTLS":
                await say("220 go ahead")
                await writer.start_tls(certificate()[0])
                is_safe = True
            elif command == "AUTH":
                given = base64.b64decode(line.split()[2]).split(b"\0")[2].decode()
                await say("235 welcome" if given == self.password else "535 no")
            elif command == "DATA":
                await say("354 go on")
                letter = await reader.readuntil(b"\r\n.\r\n")
                self.letters.append(letter[:-5])
                await say(self.answers.get("LETTER", "250 taken"))
            elif command == "QUIT":
                await say("221 bye")
                break
            else:
                await say("250 yes")
        writer.close()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[MailServer]:
        """Serve on a free port."""
        server = await asyncio.start_server(self.talk, "127.0.0.1", 0)
        async with server:
            self.port = server.sockets[0].getsockname()[1]
            yield self
