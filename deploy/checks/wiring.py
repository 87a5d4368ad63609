"""Between objects: that selectors select, ports meet, policies let through what is needed and nothing else."""

import math
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from . import product
from .pods import POD_KINDS, containers, environment, is_vitrine, pod_labels, pod_spec, references
from .rendering import Rendering

COMPONENT = "app.kubernetes.io/component"
# PostgreSQL's own defaults: its `max_connections`, and those among them that it keeps for superusers.
MAX_CONNECTIONS = 100
SUPERUSER_CONNECTIONS = 3
# `deploy/check --max-connections` sets another number.
postgres_connections = MAX_CONNECTIONS - SUPERUSER_CONNECTIONS
POSTGRES_PORT = 5432
# Objects that are in no namespace.
CLUSTER_KINDS = ("Namespace",)


def selects(selector: dict, labels: dict) -> bool:
    """Whether a plain label selector (no expressions; the manifests use none) matches. An empty one matches all."""
    return all(labels.get(key) == value for key, value in selector.items())


def pods_selected(rendering: Rendering, selector: dict) -> list[dict]:
    return [found for found in rendering.of_kind(*POD_KINDS) if selects(selector, pod_labels(found))]


def port_number(pod: dict, wanted: str | int) -> int | None:
    """A container port by name or number; none if the pod has no such port."""
    ports = [port for container in containers(pod) for port in container.get("ports", [])]
    return next((port["containerPort"] for port in ports if wanted in (port.get("name"), port["containerPort"])), None)


def about_namespace(rendering: Rendering) -> Iterator[str]:
    namespaces = rendering.of_kind("Namespace")
    if len(namespaces) != 1:
        yield f"{len(namespaces)} namespaces instead of one"
        return
    metadata = namespaces[0]["metadata"]
    if metadata.get("labels", {}).get("pod-security.kubernetes.io/enforce") != "restricted":
        yield f"Namespace/{metadata['name']} does not enforce the restricted pod security standard"
    for found in rendering.objects:
        where = found["metadata"].get("namespace")
        if found["kind"] not in CLUSTER_KINDS and where != metadata["name"]:
            yield f"{found['kind']}/{found['metadata']['name']} is in namespace {where}, not {metadata['name']}"


def about_services(rendering: Rendering) -> Iterator[str]:
    for service in rendering.of_kind("Service"):
        name = service["metadata"]["name"]
        pods = pods_selected(rendering, service["spec"].get("selector", {"": None}))
        if not pods:
            yield f"Service/{name} selects no pod"
        for port in service["spec"]["ports"]:
            for owner in pods:
                number = port_number(pod_spec(owner), port["targetPort"])
                if number is None:
                    yield f"Service/{name}: {owner['metadata']['name']} has no port {port['targetPort']}"
                elif number != port["port"]:
                    yield f"Service/{name}: port {port['port']} leads to {number}"


def about_monitors(rendering: Rendering) -> Iterator[str]:
    for monitor in rendering.of_kind("ServiceMonitor"):
        name, selector = monitor["metadata"]["name"], monitor["spec"]["selector"]["matchLabels"]
        services = [found for found in rendering.of_kind("Service") if selects(selector, found["metadata"]["labels"])]
        for endpoint in monitor["spec"]["endpoints"]:
            ports = [port for found in services for port in found["spec"]["ports"] if port["name"] == endpoint["port"]]
            if [port["port"] for port in ports] != [product.METRICS_PORT]:
                yield f"ServiceMonitor/{name}: port {endpoint['port']} is not exactly one Service's {product.METRICS_PORT}"
            if endpoint.get("path") != product.METRICS_PATH:
                yield f"ServiceMonitor/{name}: path {endpoint.get('path')} is not {product.METRICS_PATH}"


def about_scaling(rendering: Rendering, readme: str) -> Iterator[str]:
    for scaler in rendering.of_kind("HorizontalPodAutoscaler"):
        target, limit = scaler["spec"]["scaleTargetRef"], scaler["spec"]["maxReplicas"]
        name = scaler["metadata"]["name"]
        deployment = rendering.named(target["kind"], target["name"])
        if deployment is None:
            yield f"HorizontalPodAutoscaler/{name} scales {target['kind']} {target['name']}, which is not there"
            continue
        if "replicas" in deployment["spec"]:
            yield f"Deployment/{target['name']} sets replicas, so applying it fights the HorizontalPodAutoscaler"
        if scaler["spec"]["minReplicas"] > limit:
            yield f"HorizontalPodAutoscaler/{name}: minReplicas exceeds maxReplicas"
        yield from about_connections(rendering, deployment, limit, readme)
    for budget in rendering.of_kind("PodDisruptionBudget"):
        if not pods_selected(rendering, budget["spec"]["selector"]["matchLabels"]):
            yield f"PodDisruptionBudget/{budget['metadata']['name']} selects no pod"


def pods_at_once(deployment: dict, limit: int) -> int:
    """How many pods may hold connections during a rolling update: those wanted, those on top, and those that are leaving.

    A pod that is leaving counts no more for Kubernetes, but holds its connections until it has ended. The next one leaves when
    another has been ready for `minReadySeconds`.
    """
    spec = deployment["spec"]
    surge, leaving = spec["strategy"]["rollingUpdate"]["maxSurge"], limit
    if ready := spec.get("minReadySeconds", 0):
        leaving = min(limit, surge * math.ceil(pod_spec(deployment)["terminationGracePeriodSeconds"] / ready))
    return limit + surge + leaving


def about_connections(rendering: Rendering, deployment: dict, limit: int, readme: str) -> Iterator[str]:
    container = next(filter(is_vitrine, pod_spec(deployment)["containers"]))
    each = product.max_connections(environment(rendering, container))
    if each is None:
        yield "VITRINE_DATABASE__POOL_SIZE is not set: how many connections a pod holds follows from its node's cores"
        return
    pods = pods_at_once(deployment, limit)
    needed = pods * each + product.MIGRATION_CONNECTIONS
    if needed > postgres_connections:
        yield (f"{pods} pods at once with {each} connections each, and {product.MIGRATION_CONNECTIONS} for the migration, are "
               f"{needed} and do not fit PostgreSQL's {postgres_connections}")
    shipped = f"({limit} + {pods - limit}) × {each} + {product.MIGRATION_CONNECTIONS} = {needed}"
    if rendering.overlay == "production" and shipped not in readme:
        yield f"README.md does not say {shipped}"


def policies_for(rendering: Rendering, owner: dict) -> list[dict]:
    return [
        found["spec"] for found in rendering.of_kind("NetworkPolicy")
        if selects(found["spec"]["podSelector"].get("matchLabels", {}), pod_labels(owner))
    ]


def open_ports(policies: list[dict], direction: str) -> list[tuple[int, list]]:
    """(port, peers) that the policies let through, `ingress` or `egress`; no peers means anybody."""
    rules = [rule for policy in policies for rule in policy.get(direction, [])]
    peers = "from" if direction == "ingress" else "to"
    return [(port["port"], rule.get(peers, [])) for rule in rules for port in rule.get("ports", [{"port": 0}])]


def about_policies(rendering: Rendering) -> Iterator[str]:
    for found in rendering.of_kind("NetworkPolicy"):
        if not pods_selected(rendering, found["spec"]["podSelector"].get("matchLabels", {})):
            yield f"NetworkPolicy/{found['metadata']['name']} selects no pod"
    for owner in rendering.of_kind(*POD_KINDS):
        name, pod = f"{owner['kind']}/{owner['metadata']['name']}", pod_spec(owner)
        policies = policies_for(rendering, owner)
        closed = {direction for policy in policies for direction in policy.get("policyTypes", [])}
        for direction in {"Ingress", "Egress"} - closed:
            yield f"{name}: no NetworkPolicy closes its {direction.lower()}"
        ours = [container for container in pod["containers"] if is_vitrine(container)]
        if ours:
            yield from about_our_policies(rendering, name, ours[0], policies)


def about_our_policies(rendering: Rendering, name: str, container: dict, policies: list[dict]) -> Iterator[str]:
    """What the service and the migration may be reached by and may reach."""
    incoming, outgoing = open_ports(policies, "ingress"), {port for port, _ in open_ports(policies, "egress")}
    serves = container["args"][0] == "serve"
    monitoring = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
    expected = [(product.API_PORT, []), (product.METRICS_PORT, monitoring)] if serves else []
    if sorted(incoming, key=lambda entry: entry[0]) != expected:
        yield f"{name}: reachable on {incoming}, not on {expected}"
    needed = {53, POSTGRES_PORT}
    if serves:
        keystone = urlsplit(environment(rendering, container).get("VITRINE_KEYSTONE__AUTH_URL", ""))
        needed.add(keystone.port or {"http": 80, "https": 443}.get(keystone.scheme, 0))
    for port in sorted(needed - outgoing):
        yield f"{name}: no NetworkPolicy lets it reach port {port}"


def about_migration(rendering: Rendering) -> Iterator[str]:
    jobs = rendering.of_kind("Job")
    if len(jobs) != 1:
        yield f"{len(jobs)} Jobs instead of one, the migration"
        return
    job, pod = jobs[0], pod_spec(jobs[0])
    name = job["metadata"]["name"]
    tag = pod["containers"][0]["image"].rpartition("/")[2].partition(":")[2]
    if name != f"vitrine-migrate-{tag}" or len(name) > 63 or not re.fullmatch(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?", name):
        yield f"Job/{name}: not a valid name made of the image's tag {tag!r}; see `index` in the overlay's replacements"
    images = {container["image"] for owner in rendering.of_kind(*POD_KINDS)
              for container in containers(pod_spec(owner)) if is_vitrine(container)}
    if len(images) != 1:
        yield f"the migration and the service are not of one image: {', '.join(sorted(images))}"
    for kind, wanted in references(pod):
        if re.search(r"-[a-z0-9]{10}$", wanted):
            yield f"Job/{name} depends on {kind} {wanted}, whose name changes with its content: a Job cannot be changed"
    # The README applies everything but component=api first, and waits for the Job.
    needs = [rendering.named(kind, wanted) for kind, wanted in references(pod)]
    for needed in [job, *filter(None, needs)]:
        if needed["metadata"].get("labels", {}).get(COMPONENT) == "api":
            yield f"{needed['kind']}/{needed['metadata']['name']} is needed by the migration but has component api"
    early = [policy for policy in rendering.of_kind("NetworkPolicy")
             if policy["metadata"].get("labels", {}).get(COMPONENT) != "api"]
    reach = {port for port, _ in open_ports(policies_for(Rendering("", early), job), "egress")}
    if not {53, POSTGRES_PORT} <= reach:
        yield f"Job/{name}: the policies that let it reach DNS and PostgreSQL have component api, so come too late"


def complaints(rendering: Rendering, readme: str) -> list[str]:
    return [
        *about_namespace(rendering),
        *about_services(rendering),
        *about_monitors(rendering),
        *about_scaling(rendering, readme),
        *about_policies(rendering),
        *about_migration(rendering),
    ]
