"""The compose file: against the compose specification, unknown fields refused, and by the same rules as the pods."""

import pathlib
import re
from collections.abc import Iterator

import yaml
from compose_spec import PyCompose

from . import product
from .pods import is_vitrine
from .rendering import run

EXISTING_KEYSTONE = ("http://host.docker.internal:5000/v3",)


def settings(path: pathlib.Path) -> dict[str, str]:
    """The variables of an `.env` file."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def variables_of(text: str) -> set[str]:
    """The variables a compose file must be given: those without a default."""
    return set(re.findall(r"\$\{(\w+):\?", text))


def about_specification(text: str) -> Iterator[str]:
    try:
        PyCompose.from_yaml(text).validate()
    except ValueError as error:
        yield f"not by the compose specification: {error}"


def about_rights(service: dict) -> Iterator[str]:
    user = str(service.get("user", "")).partition(":")[0]
    if not user.isdigit() or int(user) == 0:
        yield "user is root, a name or not set"
    if service.get("read_only") is not True:
        yield "read_only is not true"
    if service.get("cap_drop") != ["ALL"] or service.get("cap_add"):
        yield "capabilities are not all dropped"
    if "no-new-privileges:true" not in service.get("security_opt", []):
        yield "security_opt lacks no-new-privileges:true"
    if service.get("privileged"):
        yield "privileged is set"


def about_ports(service: dict) -> Iterator[str]:
    for port in service.get("ports", []):
        address, _, rest = str(port).partition(":")
        if address != "127.0.0.1":
            yield f"port {port} is published beyond the loopback"
        outside, _, inside = rest.partition(":")
        if outside != inside:
            yield f"port {port} is another one outside than inside"


def about_vitrine(service: dict) -> Iterator[str]:
    if str(service.get("user", "")).partition(":")[0] != str(product.USER):
        yield f"user is not the image's {product.USER}"
    seen = service.get("environment", {})
    yield from product.complaints_about_environment(seen)
    for name in filter(product.is_secret_file, seen):
        folder, _, file = str(seen[name]).rpartition("/")
        if folder != "/run/secrets" or file not in service.get("secrets", []):
            yield f"{name} is {seen[name]}, which is not a secret of this service"
    command = (service.get("command") or [""])[0]
    if command not in product.SUBCOMMANDS:
        yield f"`vitrine {command}` is not a subcommand"
    if command != "serve":
        return
    inside = {str(port).rpartition(":")[2] for port in service.get("ports", [])}
    if inside != {str(product.API_PORT), str(product.METRICS_PORT)}:
        yield f"publishes {sorted(inside)}, not {product.API_PORT} and {product.METRICS_PORT}"
    if int(str(service.get("stop_grace_period", "10s")).removesuffix("s")) <= product.SHUTDOWN_DRAIN + product.SHUTDOWN_GRACE:
        yield f"stop_grace_period must exceed the {product.SHUTDOWN_DRAIN} s and {product.SHUTDOWN_GRACE} s that an end may take"
    if service.get("depends_on", {}).get("migrate", {}).get("condition") != "service_completed_successfully":
        yield "does not wait for the migration"


def about_builds(folder: pathlib.Path, service: dict) -> Iterator[str]:
    build = service.get("build")
    if build:
        context = folder / build["context"]
        if not (context / build.get("dockerfile", "Dockerfile")).is_file():
            yield f"build: {build.get('dockerfile', 'Dockerfile')} is not in {build['context']}"


def about_preparation(folder: pathlib.Path, text: str, secrets: dict) -> Iterator[str]:
    """Both ways of ./prepare write every variable and every secret that the file asks for."""
    for arguments, password in (((), ""), (EXISTING_KEYSTONE, "not-a-password\n")):
        run([str(folder / "prepare"), *arguments], input=password)
        missing = variables_of(text) - settings(folder / ".env").keys()
        for name in sorted(missing):
            yield f"prepare {' '.join(arguments)}: .env has no {name}"
        for name, secret in secrets.items():
            if not (folder / secret["file"]).is_file():
                yield f"prepare {' '.join(arguments)}: no file for secret {name}"


def complaints(deploy: pathlib.Path) -> list[str]:
    """`deploy` is a copy that may be written to."""
    folder = deploy / "compose"
    text = (folder / "compose.yaml").read_text()
    found = [f"compose.yaml: {complaint}" for complaint in about_specification(text)]
    if found:
        return found
    content = yaml.safe_load(text)
    for name, service in content["services"].items():
        about = [*about_rights(service), *about_ports(service), *about_builds(folder, service)]
        if is_vitrine({"image": service["image"]}):
            about += about_vitrine(service)
        tag = service["image"].rpartition(":")[2]
        if "build" not in service and (":" not in service["image"] or tag == "latest"):
            about.append(f"image {service['image']} has no fixed tag")
        found += [f"compose.yaml: service {name}: {complaint}" for complaint in about]
    found += [f"compose.yaml: {complaint}" for complaint in about_preparation(folder, text, content.get("secrets", {}))]
    return found
