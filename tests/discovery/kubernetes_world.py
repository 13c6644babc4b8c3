"""A real Kubernetes control plane for tests, and namespaces of it with just the documented Role."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from scripts.kubernetes.control_plane import AnswerError, ControlPlane

from serinus.discovery.kubernetes import Kubernetes
from tests.discovery.contract import World

PAGE = Path(__file__).parents[2] / "docs" / "discovery-kubernetes.md"
ACCOUNT = "serinus-worker"
NODE = "node"
_numbers = count(1)


def manifest() -> list[dict[str, Any]]:
    """Return the objects of the page's manifest."""
    found = re.search(r"```yaml\n(.*?kind: RoleBinding.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return list(yaml.safe_load_all(found.group(1)))


def plural(kind: str) -> str:
    """Return where objects of a kind are, under a namespace."""
    group = "/apis/rbac.authorization.k8s.io/v1" if kind.startswith("Role") else "/api/v1"
    return f"{group}/namespaces/{{namespace}}/{kind.lower()}s"


class KubernetesWorld(World):
    """A namespace of the cluster; each client is a process in a pod of its own."""

    def __init__(self, plane: ControlPlane, *, without: tuple[str, str] | None = None) -> None:
        self.plane = plane
        self.namespace = f"t{next(_numbers)}"
        self.pods: list[str] = []
        _have(self.call, "/api/v1/nodes", NODE)
        _have(self.call, "/api/v1/namespaces", self.namespace)
        for item in manifest():
            item["metadata"].pop("namespace", None)
            for subject in item.get("subjects", ()):
                subject["namespace"] = self.namespace
            if item["kind"] == "Role" and without is not None:
                item["rules"] = list(_less(item["rules"], *without))
            self.call("POST", plural(item["kind"]), item)
        self.config = plane.kubeconfig(
            f"{self.namespace}-worker", token=self.token(), namespace=self.namespace
        )
        self._wait_for_role(without)
        self._spare = [self.make_pod() for _ in range(2)]

    def client(self, pod: str | None = None) -> Kubernetes:
        """Return one more process's backend, in another pod unless one is named."""
        if pod is None:  # the first are there already: a store that is away makes none
            pod = self._spare.pop(0) if self._spare else self.make_pod()
        return Kubernetes(kubeconfig=str(self.config), pod=pod)

    async def fail(self) -> None:
        """Have the API server die."""
        await asyncio.to_thread(self.plane.kill_api_server)

    async def restore(self) -> None:
        """Start it again."""
        await asyncio.to_thread(self.plane.start_api_server)

    # --- as the administrator ----------------------------------------------------------------

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        kind: str = "application/json",
    ) -> dict[str, Any]:
        """Ask the API server; {namespace} in a path is this one."""
        answer = self.plane.call(method, path.format(namespace=self.namespace), body, kind=kind)
        found: dict[str, Any] = json.loads(answer)
        return found

    def make_pod(self, labels: Mapping[str, str] | None = None) -> str:
        """Make a pod on a node that nobody runs."""
        name = f"pod-{len(self.pods)}"
        self.pods.append(name)
        body = {
            "metadata": {"name": name, "labels": labels or {}},
            "spec": {
                "serviceAccountName": ACCOUNT,
                "automountServiceAccountToken": False,
                "nodeName": NODE,
                "containers": [{"name": "worker", "image": "none"}],
            },
        }
        _try_again(lambda: self.call("POST", plural("Pod"), body))
        return name

    def delete_pod(self, name: str, *, at_once: bool) -> None:
        """Ask for a pod's end; nobody but us ends it."""
        options = {"gracePeriodSeconds": 0 if at_once else 30}
        self.call("DELETE", f"{plural('Pod')}/{name}", options)

    def say_ready(self, pod: str, *, ready: bool) -> None:
        """Say of a pod what the kubelet would."""
        status = {
            "phase": "Running",
            "podIP": "192.0.2.7",
            "podIPs": [{"ip": "192.0.2.7"}],
            "conditions": [{"type": "Ready", "status": str(ready)}],
        }
        path = f"{plural('Pod')}/{pod}/status"
        self.call("PATCH", path, {"status": status}, kind="application/merge-patch+json")

    def leases(self) -> list[str]:
        """Return the names of all Lease objects."""
        path = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        return [item["metadata"]["name"] for item in self.call("GET", path)["items"]]

    def token(self, *, bound_to: Mapping[str, str] | None = None) -> str:
        """Return a token of the worker's ServiceAccount, which ends with what it is bound to."""
        path = f"{plural('ServiceAccount')}/{ACCOUNT}/token"
        body: dict[str, object] = {"spec": {"boundObjectRef": bound_to} if bound_to else {}}
        return str(self.call("POST", path, body)["status"]["token"])

    def _wait_for_role(self, without: tuple[str, str] | None) -> None:
        """Wait until the authorizer has heard of it."""
        for group, resource, verb in granted():
            if (resource, verb) != without:
                _try_again(partial(self._ask_allowed, group, resource, verb))

    def _ask_allowed(self, group: str, resource: str, verb: str) -> None:
        what = {"namespace": self.namespace, "group": group, "resource": resource, "verb": verb}
        user = f"system:serviceaccount:{self.namespace}:{ACCOUNT}"
        body = {"spec": {"user": user, "resourceAttributes": what}}
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        if not self.call("POST", path, body)["status"]["allowed"]:
            raise LookupError(f"{user} may not {verb} {resource}")


def granted() -> list[tuple[str, str, str]]:
    """Return every group, resource and verb that the manifest grants."""
    role = next(item for item in manifest() if item["kind"] == "Role")
    return [
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


def _have(call: Callable[..., object], path: str, name: str) -> None:
    try:
        call("POST", path, {"metadata": {"name": name}})
    except AnswerError as error:
        if error.status != 409:
            raise


def _less(
    rules: Sequence[Mapping[str, Sequence[str]]], resource: str, verb: str
) -> list[dict[str, Sequence[str]]]:
    return [
        dict(rule)
        | {"verbs": [v for v in rule["verbs"] if (rule["resources"], v) != ([resource], verb)]}
        for rule in rules
    ]


def _try_again(attempt: Callable[[], object], *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            attempt()
        except (AnswerError, LookupError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
