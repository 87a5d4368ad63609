"""With a built `vitrine` at hand: its own `check-config` on the environment that each overlay gives the service."""

import pathlib
import re
import subprocess
import tempfile

from . import product
from .pods import containers, environment, is_vitrine, pod_spec
from .rendering import Rendering

STAND_INS = {
    "VITRINE_DATABASE__URL_FILE": "postgres://vitrine:not-a-password@database.example.org:5432/vitrine",
    "VITRINE_KEYSTONE__PASSWORD_FILE": "not-a-password",
    "VITRINE_KEYSTONE__APPLICATION_CREDENTIAL_SECRET_FILE": "not-a-secret",
}


def complaints(rendering: Rendering, binary: pathlib.Path) -> list[str]:
    """Nothing is started: `check-config` reads settings and ends."""
    found = about_example(binary)
    with tempfile.TemporaryDirectory() as folder:
        for container in containers(pod_spec(rendering.named("Deployment", "vitrine"))):
            if not is_vitrine(container):
                continue
            seen = environment(rendering, container)
            for name in filter(product.is_secret_file, seen):
                file = pathlib.Path(folder) / name
                file.write_text(STAND_INS[name])
                seen[name] = str(file)
            done = subprocess.run([str(binary), "check-config"], env=seen, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                found.append(f"container {container['name']}: check-config: {done.stderr.strip() or done.stdout.strip()}")
                continue
            said = re.search(r"^connections to the database: at most (\d+)$", done.stdout, re.MULTILINE)
            if not said or int(said[1]) != product.max_connections(seen):
                found.append(f"container {container['name']}: check-config says {said and said[0]!r}, "
                             f"but checks/product.py reckons {product.max_connections(seen)}")
    return found


def about_example(binary: pathlib.Path) -> list[str]:
    """The file that the keys and the number of connections are read from is the program's own."""
    done = subprocess.run([str(binary), "check-config", "--example"], env={}, capture_output=True, text=True, check=False)
    if done.stdout == product.EXAMPLE.read_text():
        return []
    return ["vitrine.toml.example is not what `vitrine check-config --example` prints"]
