"""Makes Keystone's keys: keystone_keys.py DIRECTORY writes fernet/{0,1}, jws/private/private.pem, jws/public/1.pem."""

import pathlib
import sys

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

directory = pathlib.Path(sys.argv[1])
fernet, private, public = directory / "fernet", directory / "jws" / "private", directory / "jws" / "public"
for folder in (fernet, private, public):
    folder.mkdir(parents=True, mode=0o700)

for name in ("0", "1"):
    (fernet / name).write_bytes(Fernet.generate_key())

key = ec.generate_private_key(ec.SECP256R1())
(private / "private.pem").write_bytes(
    key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
)
(public / "1.pem").write_bytes(
    key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
)
