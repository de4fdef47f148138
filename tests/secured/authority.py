"""An authority of our own, and a certificate of it for 127.0.0.1."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    """Files in PEM: whom to trust; a server's certificate, its key, and both in one."""

    ca: Path
    certificate: Path
    key: Path
    both: Path


def make(folder: Path, name: str = "test authority") -> Authority:
    """Make all of it in a folder."""
    files = Authority(*(folder / file for file in ("ca.pem", "server.pem", "server.key", "both.pem")))
    ca_key, key = _key(), _key()
    ca = _certificate(name, ca_key, name, ca_key, authority=True)
    certificate = _certificate("127.0.0.1", key, name, ca_key, authority=False)
    files.ca.write_bytes(ca.public_bytes(Encoding.PEM))
    files.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files.both.write_bytes(files.key.read_bytes() + files.certificate.read_bytes())
    return files


def _key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def _certificate(
    subject: str, key: RSAPrivateKey, issuer: str, signer: RSAPrivateKey, *, authority: bool
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signer, hashes.SHA256())


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
