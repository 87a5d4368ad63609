"""Fills the laptop's Keystone: the service user of Vitrine, the demo projects with a user each, the image endpoint.

Running it again changes nothing, except that passwords become those of the secret files.
"""

import json
import os
import pathlib
import urllib.request

KEYSTONE = os.environ.get("KEYSTONE_URL", "http://keystone:5000/v3")
SECRETS = pathlib.Path(os.environ.get("SECRETS", "/run/secrets"))
IMAGE_ENDPOINT = "http://127.0.0.1:9292"
DEMO_PROJECTS = ("demo-owner", "demo-member")


def secret(name: str) -> str:
    return (SECRETS / name).read_text().strip()


def call(method: str, path: str, token: str = "", body: dict | None = None) -> tuple[dict, dict]:
    """One Identity v3 call: the decoded answer and its headers. Raises on anything but success."""
    request = urllib.request.Request(KEYSTONE + path, method=method)
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("X-Auth-Token", token)
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(request, data, timeout=30) as answer:
        text = answer.read()
        return (json.loads(text) if text else {}), dict(answer.headers)


def sign_in() -> str:
    domain = {"id": "default"}
    user = {"name": "admin", "domain": domain, "password": secret("keystone-admin-password")}
    body = {"auth": {
        "identity": {"methods": ["password"], "password": {"user": user}},
        "scope": {"project": {"name": "admin", "domain": domain}},
    }}
    return call("POST", "/auth/tokens", body=body)[1]["X-Subject-Token"]


def ensure(token: str, collection: str, query: str, wanted: dict) -> str:
    """The id of the one that `query` finds, created as `wanted` if there is none."""
    found = call("GET", f"/{collection}?{query}", token)[0][collection]
    if found:
        return found[0]["id"]
    singular = collection.removesuffix("s")
    return call("POST", f"/{collection}", token, {singular: wanted})[0][singular]["id"]


def ensure_user(token: str, name: str, password: str, project: str, roles: list[str]) -> None:
    """A user with a project of the given name, these roles in it and this password."""
    project_id = ensure(token, "projects", f"name={project}&domain_id=default", {"name": project, "domain_id": "default"})
    user = {"name": name, "domain_id": "default", "default_project_id": project_id, "password": password}
    user_id = ensure(token, "users", f"name={name}&domain_id=default", user)
    call("PATCH", f"/users/{user_id}", token, {"user": {"password": password}})
    for role in roles:
        role_id = call("GET", f"/roles?name={role}", token)[0]["roles"][0]["id"]
        call("PUT", f"/projects/{project_id}/users/{user_id}/roles/{role_id}", token)


def main() -> None:
    token = sign_in()
    ensure_user(token, "vitrine", secret("keystone-password"), "service", ["service"])
    for project in DEMO_PROJECTS:
        ensure_user(token, project, secret("demo-password"), project, ["member"])
    service = ensure(token, "services", "type=image&name=vitrine", {"type": "image", "name": "vitrine"})
    endpoint = {"service_id": service, "interface": "public", "region_id": "RegionOne", "url": IMAGE_ENDPOINT}
    ensure(token, "endpoints", f"service_id={service}&interface=public", endpoint)
    print("demo: service user, demo projects and the image endpoint are there")


if __name__ == "__main__":
    main()
