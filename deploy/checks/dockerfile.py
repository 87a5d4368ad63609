"""The Dockerfiles, as far as it goes without an engine: a linter, then our own rules on the parsed instructions."""

import json
import pathlib
import re
import shlex
import tomllib
from collections.abc import Iterator

from dockerfile_parse import DockerfileParser

from . import product
from .rendering import CannotRender, run

RELEASE = "Dockerfile"
KEYSTONE = "compose/keystone/Dockerfile"


def instructions(path: pathlib.Path) -> list[tuple[str, str]]:
    """(instruction, its arguments), comments left out, continued lines joined."""
    parser = DockerfileParser(fileobj=path.open("rb"))
    return [(found["instruction"], found["value"]) for found in parser.structure if found["instruction"] != "COMMENT"]


def stages(path: pathlib.Path) -> list[list[tuple[str, str]]]:
    """The instructions of each stage, its FROM first; what stands before the first FROM is left out."""
    found: list[list[tuple[str, str]]] = []
    for instruction, value in instructions(path):
        if instruction == "FROM":
            found.append([])
        if found:
            found[-1].append((instruction, value))
    return found


def values(stage: list[tuple[str, str]], wanted: str) -> list[str]:
    return [value for instruction, value in stage if instruction == wanted]


def about_linter(path: pathlib.Path) -> Iterator[str]:
    try:
        run(["hadolint", "--no-color", "--failure-threshold", "info", str(path)])
    except CannotRender as error:
        yield from str(error).splitlines()


def about_every(path: pathlib.Path) -> Iterator[str]:
    """Fixed base images, an unprivileged user by number, exec forms, sources that exist."""
    names: set[str] = set()
    for stage in stages(path):
        image, _, name = stage[0][1].partition(" AS ")
        tag = image.rpartition("/")[2].partition(":")[2]
        if image not in names and (not tag or tag == "latest"):
            yield f"base image {image} has no fixed tag"
        for value in values(stage, "COPY"):
            source = re.search(r"--from=(\S+)", value)
            if source and source[1] not in names:
                yield f"COPY --from={source[1]}: no such stage above"
        names.add(name.strip())
    last = stages(path)[-1]
    user = (values(last, "USER") or ["root"])[-1].partition(":")[0]
    if not user.isdigit() or int(user) == 0:
        yield f"the image runs as {user}; a number other than 0 is needed"
    for instruction in ("ENTRYPOINT", "CMD"):
        for value in values(last, instruction):
            try:
                json.loads(value)
            except ValueError:
                yield f"{instruction} {value} needs a shell; write it as a list"


def assignments(stage: list[tuple[str, str]]) -> dict[str, str]:
    """What ENV sets."""
    return dict(word.split("=", 1) for value in values(stage, "ENV") for word in shlex.split(value))


def about_release(path: pathlib.Path) -> Iterator[str]:
    """Of the release image alone: two stages, nothing run in the last, our ports, user and variables."""
    found = stages(path)
    if len(found) < 2:
        yield "is not multi-stage"
        return
    last = found[-1]
    if values(last, "RUN"):
        yield "RUN in the last stage, whose image has no shell"
    user = (values(last, "USER") or [""])[-1].partition(":")[0]
    if user != str(product.USER):
        yield f"USER is {user}, not {product.USER} as in the manifests"
    ports = {int(port) for value in values(last, "EXPOSE") for port in value.split()}
    if ports != {product.API_PORT, product.METRICS_PORT}:
        yield f"EXPOSE is {sorted(ports)}, not {product.API_PORT} and {product.METRICS_PORT}"
    yield from product.complaints_about_environment(assignments(last))
    command = (json.loads((values(last, "CMD") or ["[]"])[-1]) or [""])[0]
    if command not in product.SUBCOMMANDS:
        yield f"CMD: `vitrine {command}` is not a subcommand"
    if not any("cargo build --release --locked -p vitrine" in value for stage in found for value in values(stage, "RUN")):
        yield "does not build with --locked"


def about_workspace(path: pathlib.Path, root: pathlib.Path) -> Iterator[str]:
    """The toolchain is the workspace's, and the context has every folder that cargo will look for."""
    workspace = tomllib.loads((root / "Cargo.toml").read_text())["workspace"]
    version = next((value.partition("=")[2] for name, value in instructions(path)
                    if name == "ARG" and value.startswith("RUST_VERSION=")), "")
    if version != workspace["package"]["rust-version"]:
        yield f"RUST_VERSION is {version}, the workspace's rust-version {workspace['package']['rust-version']}"
    allowed = path.with_name(path.name + ".dockerignore").read_text().splitlines()
    for needed in ("Cargo.toml", "Cargo.lock", "migrations", *(member.partition("/")[0] for member in workspace["members"])):
        if f"!{needed}" not in allowed:
            yield f"{needed} is not let into the context by {path.name}.dockerignore"


def about_sources(path: pathlib.Path) -> Iterator[str]:
    """For an image whose context is the Dockerfile's own folder: what COPY names is there."""
    for stage in stages(path):
        for value in values(stage, "COPY"):
            *sources, _ = [word for word in value.split() if not word.startswith("--")]
            for source in sources:
                if "--from=" not in value and not (path.parent / source).exists():
                    yield f"COPY {source}: no such file"


def complaints(deploy: pathlib.Path, root: pathlib.Path) -> list[str]:
    """`root` is the repository's, for what the release image is built from."""
    release, keystone = deploy / RELEASE, deploy / KEYSTONE
    ours = [*about_linter(release), *about_every(release), *about_release(release), *about_workspace(release, root)]
    theirs = [*about_linter(keystone), *about_every(keystone), *about_sources(keystone)]
    return [f"{RELEASE}: {found}" for found in ours] + [f"{KEYSTONE}: {found}" for found in theirs]
