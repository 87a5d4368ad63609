"""Pods, of whatever kind: that they run without rights, and that what they name is there."""

import re
from collections.abc import Iterator

from . import product
from .rendering import Rendering

POD_KINDS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod", "ReplicaSet")
# Of a path such as `vitrine` or `registry.example.org:5000/vitrine`, before the tag.
VITRINE_IMAGE = re.compile(r"(^|/)vitrine(:|@|$)")


def pod_spec(found: dict) -> dict:
    """The pod inside an object of one of `POD_KINDS`."""
    spec = found["spec"]
    if found["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    return spec if found["kind"] == "Pod" else spec["template"]["spec"]


def pod_labels(found: dict) -> dict:
    """The labels that the pods of such an object have."""
    metadata = found["metadata"] if found["kind"] == "Pod" else found["spec"]["template"]["metadata"]
    return metadata.get("labels", {})


def containers(pod: dict) -> list[dict]:
    return pod.get("initContainers", []) + pod["containers"]


def is_vitrine(container: dict) -> bool:
    return bool(VITRINE_IMAGE.search(container["image"]))


def environment(rendering: Rendering, container: dict) -> dict[str, str]:
    """What the container sees, from its ConfigMaps and its own list; what comes from elsewhere is left out."""
    found = {}
    for source in container.get("envFrom", []):
        config_map = rendering.named("ConfigMap", source.get("configMapRef", {}).get("name", ""))
        found.update((config_map or {}).get("data", {}))
    found.update((entry["name"], entry["value"]) for entry in container.get("env", []) if "value" in entry)
    return found


def about_rights(pod: dict) -> Iterator[str]:
    """The restricted Pod Security Standard, a read-only root, and no way to the Kubernetes API."""
    security = pod.get("securityContext", {})
    if security.get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    if not security.get("runAsUser"):
        yield "runAsUser is root or not set"
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "seccompProfile is not RuntimeDefault"
    for field in ("automountServiceAccountToken", "enableServiceLinks"):
        if pod.get(field) is not False:
            yield f"{field} is not false"
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield f"{field} is set"
    for container in containers(pod):
        name, own = container["name"], container.get("securityContext", {})
        if own.get("readOnlyRootFilesystem") is not True:
            yield f"container {name}: readOnlyRootFilesystem is not true"
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"container {name}: allowPrivilegeEscalation is not false"
        if own.get("capabilities") != {"drop": ["ALL"]}:
            yield f"container {name}: capabilities are not all dropped"
        for field in ("privileged", "runAsUser", "runAsNonRoot"):
            if field in own:
                yield f"container {name}: {field} overrides the pod's"


def about_containers(pod: dict) -> Iterator[str]:
    """Fixed images, limits, and volumes that are both there and used."""
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    mounted = set()
    for container in containers(pod):
        name, image = container["name"], container["image"]
        tag = image.rpartition("/")[2].partition(":")[2]
        if not tag or tag == "latest":
            yield f"container {name}: image {image} has no fixed tag"
        for side in ("requests", "limits"):
            for resource in ("cpu", "memory"):
                if resource not in container.get("resources", {}).get(side, {}):
                    yield f"container {name}: resources.{side}.{resource} is not set"
        mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
        mounted |= mounts
    for volume in pod.get("volumes", []):
        if "hostPath" in volume:
            yield f"volume {volume['name']} is of the host"
    for missing in sorted(volumes - mounted):
        yield f"volume {missing} is mounted nowhere"


def about_volumes(found: dict, pod: dict) -> Iterator[str]:
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    volumes |= {claim["metadata"]["name"] for claim in found["spec"].get("volumeClaimTemplates", [])}
    for container in containers(pod):
        for mount in container.get("volumeMounts", []):
            if mount["name"] not in volumes:
                yield f"container {container['name']}: no volume {mount['name']}"


def references(pod: dict) -> Iterator[tuple[str, str]]:
    """(kind, name) of every ConfigMap, Secret and ServiceAccount a pod names."""
    yield "ServiceAccount", pod.get("serviceAccountName", "default")
    for volume in pod.get("volumes", []):
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"]
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
    for container in containers(pod):
        for source in container.get("envFrom", []):
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                if field in source:
                    yield kind, source[field]["name"]
        for entry in container.get("env", []):
            for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                if field in entry.get("valueFrom", {}):
                    yield kind, entry["valueFrom"][field]["name"]


def about_references(rendering: Rendering, pod: dict, readme: str) -> Iterator[str]:
    """What is neither rendered nor, as a command that creates it, in the README will be missing."""
    for kind, name in references(pod):
        if rendering.named(kind, name):
            continue
        command = {"Secret": "create secret generic", "ConfigMap": "create configmap"}.get(kind)
        if rendering.overlay != "production" or not command or f"{command} {name} " not in readme:
            yield f"{kind} {name} is neither rendered nor made by a command in README.md"


def about_secret_files(rendering: Rendering, pod: dict, container: dict) -> Iterator[str]:
    """A `…_FILE` variable names a file that a mounted volume has."""
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    mounts = {mount["mountPath"]: volumes.get(mount["name"], {}) for mount in container.get("volumeMounts", [])}
    for name, path in environment(rendering, container).items():
        if not product.is_secret_file(name):
            continue
        folder, _, file = path.rpartition("/")
        secret = mounts.get(folder, {}).get("secret")
        if secret is None:
            yield f"container {container['name']}: {name} is {path}, where no secret is mounted"
            continue
        rendered = rendering.named("Secret", secret["secretName"])
        if rendered and file not in {**rendered.get("data", {}), **rendered.get("stringData", {})}:
            yield f"container {container['name']}: secret {secret['secretName']} has no {file} for {name}"


def about_vitrine(rendering: Rendering, pod: dict, container: dict) -> Iterator[str]:
    """A container of our own image."""
    name = container["name"]
    if pod.get("securityContext", {}).get("runAsUser") != product.USER:
        yield f"runAsUser is not the image's {product.USER}"
    subcommand = (container.get("args") or [""])[0]
    if subcommand not in product.SUBCOMMANDS:
        yield f"container {name}: `vitrine {subcommand}` is not a subcommand"
    for source in container.get("envFrom", []):
        if "configMapRef" not in source:
            yield f"container {name}: settings come from elsewhere than a ConfigMap"
    seen = environment(rendering, container)
    for entry in container.get("env", []):
        if "value" not in entry:
            yield f"container {name}: {entry['name']} has no plain value; secrets are files"
    for complaint in product.complaints_about_environment(seen):
        yield f"container {name}: {complaint}"
    yield from about_secret_files(rendering, pod, container)
    if subcommand == "serve":
        yield from about_serving(pod, container, seen)
        yield from about_memory(container, seen)


def about_serving(pod: dict, container: dict, seen: dict[str, str]) -> Iterator[str]:
    """Ports, probes and the time to finish, of a container that serves."""
    name = container["name"]
    for needed in ("VITRINE_LISTEN", "VITRINE_METRICS_LISTEN", "VITRINE_DATABASE__URL_FILE", "VITRINE_KEYSTONE__AUTH_URL"):
        if needed not in seen:
            yield f"container {name}: {needed} is not set"
    ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
    if ports != {"api": product.API_PORT, "metrics": product.METRICS_PORT}:
        yield f"container {name}: ports are {ports}, not api {product.API_PORT} and metrics {product.METRICS_PORT}"
    expected = {
        "startupProbe": product.LIVE_PATH,
        "livenessProbe": product.LIVE_PATH,
        "readinessProbe": product.READY_PATH,
    }
    for probe, path in expected.items():
        asked = container.get(probe, {}).get("httpGet", {})
        port = ports.get(asked.get("port"), asked.get("port"))
        if (asked.get("path"), port) != (path, product.API_PORT):
            yield f"container {name}: {probe} asks {asked.get('path')} on {port}, not {path} on {product.API_PORT}"
    before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    if not before:
        yield f"container {name}: no preStop sleep, so requests are lost while the endpoint is withdrawn"
    needed = before + int(seen.get("VITRINE_SHUTDOWN__DRAIN", product.SHUTDOWN_DRAIN))
    needed += int(seen.get("VITRINE_SHUTDOWN__GRACE", product.SHUTDOWN_GRACE))
    if pod.get("terminationGracePeriodSeconds", 30) <= needed:
        yield f"terminationGracePeriodSeconds must exceed preStop, VITRINE_SHUTDOWN__DRAIN and VITRINE_SHUTDOWN__GRACE, together {needed}"


def about_memory(container: dict, seen: dict[str, str]) -> Iterator[str]:
    """That the bounds of the program fit the limit at which the system ends it."""
    limit = container.get("resources", {}).get("limits", {}).get("memory", "")
    units = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
    size, unit = limit[:-2], limit[-2:]
    needed = product.needed_memory(seen)
    if not size.isdigit() or unit not in units:
        yield f"container {container['name']}: the memory limit {limit!r} is not in Ki, Mi or Gi"
    elif int(size) * units[unit] < needed:
        yield f"container {container['name']}: {needed >> 20} MiB for connections, bodies, lists and sinks do not fit the limit {limit}"


def complaints(rendering: Rendering, readme: str) -> list[str]:
    found = []
    for owner in rendering.of_kind(*POD_KINDS):
        pod = pod_spec(owner)
        about = [*about_rights(pod), *about_containers(pod), *about_volumes(owner, pod)]
        about += about_references(rendering, pod, readme)
        for container in containers(pod):
            if is_vitrine(container):
                about += about_vitrine(rendering, pod, container)
        found += [f"{owner['kind']}/{owner['metadata']['name']}: {complaint}" for complaint in about]
    return found
