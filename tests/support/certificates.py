"""A certificate authority of the tests, and the certificates that it signs."""

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_SIGNS_CERTIFICATES = x509.KeyUsage(
    key_cert_sign=True, crl_sign=True, digital_signature=False, content_commitment=False, key_encipherment=False,
    data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
)  # fmt: skip
"""The usage that the certificate of a CA names (RFC 5280, section 4.2.1.3). Python 3.13 refuses one that names none."""


class Authority:
    """A CA. `file` has its certificate."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = folder / f"{name}.pem"
        is_ca = x509.BasicConstraints(ca=True, path_length=None)
        self.file.write_bytes(self._signed(self._name, self._key, [is_ca, _SIGNS_CERTIFICATES], 365))

    def issue(self, address: str, days: int = 365) -> tuple[Path, Path]:
        """Sign a certificate for an IP address; return its file and that of its key. With few `days` it has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, address)])
        certificate, private = self._folder / f"{address}-{days}.pem", self._folder / f"{address}-{days}.key"
        certificate.write_bytes(self._signed(name, key, [names], days))
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        private.chmod(0o600)
        return certificate, private

    def _signed(
        self, name: x509.Name, key: ec.EllipticCurvePrivateKey, more: Sequence[x509.ExtensionType], days: int
    ) -> bytes:
        end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
        own = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(end - datetime.timedelta(days=400))
            .not_valid_after(end)
            .add_extension(own, critical=False)
            .add_extension(issuer, critical=False)
        )
        for extension in more:
            builder = builder.add_extension(extension, critical=not isinstance(extension, x509.SubjectAlternativeName))
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
