"""Every object against its type's schema, fields that the type does not have refused."""

import functools
import json
import re
from importlib import resources

import jsonschema
from cloudcoil.models.prometheus_operator import v1 as prometheus_operator
from referencing import Registry, Resource

from .rendering import Rendering

# The oldest release the manifests work on (`preStop.sleep`) and the newest there are schemas for.
KUBERNETES_VERSIONS = ("1.30", "1.37")
OPERATOR_GROUP = "monitoring.coreos.com/v1"


def closed(schema: object) -> object:
    """The schema with every object that lists its fields closed to others, as a server does with strict validation."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    copy = {key: closed(value) for key, value in schema.items()}
    if isinstance(copy.get("properties"), dict):
        copy.setdefault("additionalProperties", False)
    return copy


@functools.cache
def kubernetes_schema(version: str, file: str) -> dict | None:
    """A file of the package kubernetes-validate, which has the schemas of every release; none if it has no such type."""
    folder = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}.0-local-strict"
    if not folder.is_dir():
        raise LookupError(f"no schemas of Kubernetes {version}")
    path = folder / file
    return json.loads(path.read_text()) if path.is_file() else None


@functools.cache
def kubernetes_validator(version: str, api_version: str, kind: str) -> jsonschema.Validator | None:
    """For a built-in type; none if that release does not have it."""
    # `rbac.authorization.k8s.io/v1` is filed under `rbac-v1`.
    group = re.sub(r"^([^./]*)(\.[^/]*)?/", r"\1-", api_version)
    schema = kubernetes_schema(version, f"{kind.lower()}-{group}.json")
    if schema is None:
        return None
    definitions = Resource.from_contents(kubernetes_schema(version, "_definitions.json"))
    return jsonschema.Draft202012Validator(schema, registry=definitions @ (Resource.from_contents(schema) @ Registry()))


@functools.cache
def operator_validator(kind: str) -> jsonschema.Validator | None:
    """For a type of the Prometheus operator; none if it has no such type."""
    model = getattr(prometheus_operator, kind, None)
    if model is None:
        return None
    return jsonschema.Draft202012Validator(closed(model.model_json_schema(by_alias=True)))


def deepest(error: jsonschema.ValidationError) -> jsonschema.ValidationError:
    """The part of a failed choice that comes nearest to what was meant."""
    return jsonschema.exceptions.best_match([error])


def complaints_about_object(found: dict) -> list[str]:
    if found["apiVersion"] == OPERATOR_GROUP:
        validator = operator_validator(found["kind"])
        if validator is None:
            return [f"{OPERATOR_GROUP} has no {found['kind']}"]
        return [f"{error.json_path}: {error.message}" for error in map(deepest, validator.iter_errors(found))]
    complaints = []
    for version in KUBERNETES_VERSIONS:
        validator = kubernetes_validator(version, found["apiVersion"], found["kind"])
        if validator is None:
            complaints.append(f"Kubernetes {version} has no {found['kind']} in {found['apiVersion']}")
            continue
        for error in map(deepest, validator.iter_errors(found)):
            complaints.append(f"Kubernetes {version}: {error.json_path}: {error.message}")
    return complaints


def complaints(rendering: Rendering) -> list[str]:
    return [
        f"{found['kind']}/{found['metadata']['name']}: {complaint}"
        for found in rendering.objects
        for complaint in complaints_about_object(found)
    ]
