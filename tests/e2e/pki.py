"""Certificates for scenarios: what services show, and what their servers and clients believe."""

import datetime
import ipaddress
import pathlib
from typing import Optional

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)


def subject(cn: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Lab"), x509.NameAttribute(NameOID.COMMON_NAME, cn)])


class Identity:
    """A certificate with its key. Without `by` it has signed itself and is an authority."""

    def __init__(self, cn: str, by: Optional["Identity"] = None, names: tuple = (), bits: int = 0,
                 since: int = -1, days: int = 90, csr: Optional[str] = None, digest=hashes.SHA256()):
        self.cn = cn
        self.secret = rsa.generate_private_key(65537, bits) if bits else ec.generate_private_key(ec.SECP256R1())
        request = x509.load_pem_x509_csr(csr.encode()) if csr else None
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateBuilder()
                   .subject_name(request.subject if request else subject(cn))
                   .issuer_name(by.x509.subject if by else subject(cn))
                   .public_key(request.public_key() if request else self.secret.public_key())
                   .serial_number(x509.random_serial_number())
                   .not_valid_before(now + since * DAY).not_valid_after(now + days * DAY)
                   .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True))
        if by:
            builder = builder.add_extension(x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([self.name(n) for n in names]), critical=False)
        self.x509 = builder.sign(by.secret if by else self.secret, digest)
        self.certificate = self.x509.public_bytes(serialization.Encoding.PEM).decode()
        self.key = self.pem(serialization.NoEncryption())

    @staticmethod
    def name(text: str) -> x509.GeneralName:
        try:
            return x509.IPAddress(ipaddress.ip_address(text))
        except ValueError:
            return x509.DNSName(text)

    def pem(self, encryption) -> str:
        return self.secret.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                         encryption).decode()

    def locked(self, passphrase: str) -> str:
        return self.pem(serialization.BestAvailableEncryption(passphrase.encode()))

    def revokes(self, *others: "Identity", days: int = 90) -> str:
        """Its list of revoked certificates."""
        now = datetime.datetime.utcnow()
        builder = (x509.CertificateRevocationListBuilder().issuer_name(self.x509.subject)
                   .last_update(now - 30 * DAY).next_update(now + days * DAY))
        for other in others:
            builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(
                other.x509.serial_number).revocation_date(now - DAY).build())
        return builder.sign(self.secret, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()

    def save(self, folder: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
        """Paths of certificate and key."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = folder / f"{self.cn}.pem", folder / f"{self.cn}.key"
        paths[0].write_text(self.certificate)
        paths[1].write_text(self.key)
        return paths
