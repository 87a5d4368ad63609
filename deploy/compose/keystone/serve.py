"""Creates what Keystone keeps (keys, tables, the administrator) when it is not there yet, then serves it on port 5000."""

import base64
import os
import pathlib
import subprocess
import sys

PORT = 5000
CONFIG = os.environ["OS_KEYSTONE_CONFIG_FILES"]
KEYS = pathlib.Path(os.environ.get("KEYSTONE_KEYS", "/var/lib/keystone/keys"))
PASSWORD = pathlib.Path(os.environ.get("KEYSTONE_ADMIN_PASSWORD_FILE", "/run/secrets/keystone-admin-password"))
PUBLIC_URL = f"http://127.0.0.1:{PORT}/v3"


def create_keys() -> None:
    """Two Fernet keys, as `keystone-manage fernet_setup` makes them, without its wish to be root."""
    KEYS.mkdir(mode=0o700, exist_ok=True)
    for name in ("0", "1"):
        key = KEYS / name
        if not key.exists():
            key.touch(mode=0o600)
            key.write_bytes(base64.urlsafe_b64encode(os.urandom(32)))


def manage(*arguments: str, **environment: str) -> None:
    """Runs `keystone-manage`; a failure of it ends this process too."""
    command = ["keystone-manage", "--config-file", CONFIG, *arguments]
    subprocess.run(command, check=True, env={**os.environ, **environment})


def main() -> None:
    create_keys()
    manage("db_sync")
    # By environment: a password among the arguments is in the process list.
    manage(
        "bootstrap",
        "--bootstrap-public-url", PUBLIC_URL,
        "--bootstrap-internal-url", PUBLIC_URL,
        "--bootstrap-region-id", "RegionOne",
        OS_BOOTSTRAP_PASSWORD=PASSWORD.read_text().strip(),
    )
    # Importing the application reads the command line, so it must be empty by then.
    sys.argv[1:] = []
    from keystone.wsgi.api import application
    from werkzeug.serving import run_simple

    run_simple(os.environ.get("KEYSTONE_LISTEN", "0.0.0.0"), PORT, application, threaded=True)


if __name__ == "__main__":
    main()
