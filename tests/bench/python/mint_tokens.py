"""Many valid tokens at once, one a line.

mint_tokens.py FERNET_KEYS TOKEN COUNT       COUNT tokens that say what TOKEN says
mint_tokens.py FERNET_KEYS TOKEN - ID...     one for each of these projects, else as TOKEN

Each has an audit id of its own, as if its user had signed in once more: Keystone makes a token from nothing but its
keys, and takes these for its own. Signing in that often would take an hour.
"""

import os
import pathlib
import sys
import uuid

import msgpack
from cryptography.fernet import Fernet

keys, token, count, projects = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
names = sorted((int(path.name), path) for path in keys.iterdir() if path.name.isdigit())
# The highest number is the key in use; any may have made the token.
fernets = [Fernet(path.read_bytes()) for _, path in reversed(names)]
padded = token + "=" * (-len(token) % 4)
for fernet in fernets:
    try:
        # Version, user, methods, project, end, audit ids: keystone.token.token_formatters.ProjectScopedPayload.
        payload = msgpack.unpackb(fernet.decrypt(padded.encode()))
        break
    except Exception as error:
        failure = error
else:
    sys.exit(f"no key of {keys} made this token: {failure!r}")

for project in projects or [None] * int(count):
    payload[-1] = [os.urandom(16)]
    if project:
        payload[3] = [True, uuid.UUID(project).bytes]
    print(fernets[0].encrypt(msgpack.packb(payload)).rstrip(b"=").decode())
