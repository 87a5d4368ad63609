"""Renders the overlays as `kubectl apply -k` would, from a copy in which the trial has been prepared."""

import pathlib
import subprocess
from dataclasses import dataclass

import yaml

OVERLAYS = ("trial", "production")
TRIAL_KEYSTONE = "https://keystone.example.org/v3"


class CannotRender(Exception):
    """A script or kustomize refused; the message is what it said."""


@dataclass
class Rendering:
    """One overlay's objects."""

    overlay: str
    objects: list[dict]

    def of_kind(self, *kinds: str) -> list[dict]:
        return [found for found in self.objects if found.get("kind") in kinds]

    def named(self, kind: str, name: str) -> dict | None:
        return next((found for found in self.of_kind(kind) if found["metadata"]["name"] == name), None)


def run(command: list[str], **options) -> str:
    """Standard output of a program that must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise CannotRender(f"{pathlib.Path(command[0]).name}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def render(deploy: pathlib.Path, overlay: str) -> Rendering:
    """`deploy` is a copy that may be written to."""
    folder = deploy / "kubernetes" / "overlays" / overlay
    if overlay == "trial":
        run([str(folder / "prepare"), TRIAL_KEYSTONE], input="not-a-password\n")
    text = run(["kubectl", "kustomize", str(folder)])
    return Rendering(overlay, [found for found in yaml.safe_load_all(text) if found])
