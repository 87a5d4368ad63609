"""Runs every check on a copy of deploy/, so that preparing an overlay leaves no trace in the repository."""

import argparse
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator

from . import binary, compose, dockerfile, pods, schemas, wiring
from .breakages import BREAKAGES, Breakage
from .rendering import OVERLAYS, CannotRender, render

DEPLOY = pathlib.Path(__file__).resolve().parent.parent
ROOT = DEPLOY.parent
# What a person has prepared for themselves does not belong into the copy.
PRIVATE = shutil.ignore_patterns("secrets", ".env", "clouds.yaml", "__pycache__", "checks")


def copy_of_deploy(folder: str) -> pathlib.Path:
    """In a repository-like place, for the compose file's build context is the repository's root."""
    copy = pathlib.Path(folder) / "deploy"
    shutil.copytree(DEPLOY, copy, ignore=PRIVATE)
    (copy / "kubernetes/overlays/trial/settings.env").unlink(missing_ok=True)
    return copy


def results(deploy: pathlib.Path, vitrine: pathlib.Path | None) -> Iterator[tuple[str, list[str]]]:
    """(what was checked, complaints), one after the other."""
    readme = (deploy / "README.md").read_text()
    for overlay in OVERLAYS:
        try:
            rendering = render(deploy, overlay)
        except CannotRender as error:
            yield f"{overlay}: renders", [str(error)]
            continue
        count = len(rendering.objects)
        versions = " and ".join(schemas.KUBERNETES_VERSIONS)
        found = schemas.complaints(rendering)
        yield f"{overlay}: {count} objects follow the schemas of Kubernetes {versions}, strictly", found
        # A rule may not find its way in an object that its schema refuses.
        if found:
            continue
        yield f"{overlay}: pods run without rights and find what they name", pods.complaints(rendering, readme)
        yield f"{overlay}: services, policies, scaling and migration fit together", wiring.complaints(rendering, readme)
        if vitrine:
            yield f"{overlay}: `vitrine check-config` accepts the settings", binary.complaints(rendering, vitrine)
    yield "compose.yaml follows the compose specification and our rules", guarded(lambda: compose.complaints(deploy))
    yield "Dockerfiles pass the linter and our rules", guarded(lambda: dockerfile.complaints(deploy, ROOT))


def guarded(check: Callable[[], list[str]]) -> list[str]:
    """A script that a check runs may refuse; that is a complaint as well."""
    try:
        return check()
    except CannotRender as error:
        return [str(error)]


def check(vitrine: pathlib.Path | None) -> tuple[int, int]:
    """(passed, failed) of the files as they are."""
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, complaints in results(copy_of_deploy(folder), vitrine):
            print(f"{'FAILED' if complaints else 'ok    '} {name}")
            for complaint in complaints:
                print(f"         {complaint}")
            passed, failed = passed + (not complaints), failed + bool(complaints)
    if not vitrine:
        print("note   no --binary given: settings were held against the keys in vitrine.toml.example only")
    return passed, failed


def complaints_about(deploy: pathlib.Path) -> list[str]:
    return [complaint for _, found in results(deploy, None) for complaint in found]


def noticed(breakage: Breakage) -> str:
    """Empty if the mistake is complained about as it should be, else what happened instead."""
    with tempfile.TemporaryDirectory() as folder:
        deploy = copy_of_deploy(folder)
        file = deploy / breakage.file
        before = file.read_text()
        if breakage.old not in before:
            return f"{breakage.file} no longer has {breakage.old!r}"
        file.write_text(before.replace(breakage.old, breakage.new))
        complaints = complaints_about(deploy)
    if any(breakage.said in complaint for complaint in complaints):
        return ""
    return f"expected {breakage.said!r}, got " + ("; ".join(complaints) or "no complaint")


def self_test() -> tuple[int, int]:
    """(passed, failed) of the mistakes in `breakages`, each made alone."""
    with tempfile.TemporaryDirectory() as folder:
        already = complaints_about(copy_of_deploy(folder))
    if already:
        # A mistake could hide behind one that is there already.
        print("FAILED the files as they are must pass first; run deploy/check")
        return 0, 1
    passed = failed = 0
    for breakage in BREAKAGES:
        missed = noticed(breakage)
        print(f"{'MISSED' if missed else 'noticed'} {breakage.name}")
        if missed:
            print(f"         {missed}")
        passed, failed = passed + (not missed), failed + bool(missed)
    return passed, failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="deploy/check", description="Checks everything under deploy/.")
    parser.add_argument("--self-test", action="store_true", help="make known mistakes in a copy, and expect to be told")
    parser.add_argument("--binary", type=pathlib.Path, help="a built vitrine, to run its check-config on the settings")
    parser.add_argument("--max-connections", type=int, default=wiring.MAX_CONNECTIONS, metavar="N",
                        help="PostgreSQL's max_connections (default: %(default)s, as PostgreSQL's own)")
    arguments = parser.parse_args()
    if not arguments.self_test:
        wiring.postgres_connections = arguments.max_connections - wiring.SUPERUSER_CONNECTIONS
    if arguments.binary and not arguments.binary.is_file():
        parser.error(f"--binary: {arguments.binary} is not a file")
    passed, failed = self_test() if arguments.self_test else check(arguments.binary and arguments.binary.resolve())
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
