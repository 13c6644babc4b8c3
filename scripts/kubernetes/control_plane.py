#!/usr/bin/env python3
"""A real Kubernetes control plane on this machine's loopback, for as long as it is wanted.

    control_plane.py DIR [--port N]     runs until Ctrl-C; prints the kubeconfig's path when ready

etcd, kube-apiserver and kube-controller-manager of `build.sh`, with RBAC and ServiceAccounts. There
is no node: pods are objects whose status somebody else has to write. DIR holds everything; the same
DIR again is the same cluster. A further user is a line in DIR/tokens.csv.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

BUILD = Path(__file__).with_name("build.sh")
ADMIN = "system:masters"
CONTROLLERS = "system:kube-controller-manager"
_GRACE = 10.0
"""Seconds in which a process has to follow a request to end."""
_NEEDED = (
    "namespace,serviceaccount,serviceaccount-token,garbagecollector,endpoint,endpointslice,podgc"
)
"""Controllers: of what a discovery backend can see, and none that wants a cloud or disks."""


class ControlPlaneError(Exception):
    """What went wrong, with the end of the log."""


class AnswerError(ControlPlaneError):
    """The API server answered, and not with what was asked for."""

    def __init__(self, error: urllib.error.HTTPError) -> None:
        with error:
            super().__init__(f"{error.code}: {error.read().decode(errors='replace')}")
        self.status = error.code


def is_built() -> bool:
    """Say whether `build.sh` has done its work."""
    return subprocess.run([BUILD, "--check"], check=False).returncode == 0


class ControlPlane:
    """One cluster in a folder. A context manager; its processes die with this one."""

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self.folder = folder.resolve()
        self._port = port or _free_port()
        self._etcd_port, self._peer_port, self._controllers_port = (_free_port() for _ in range(3))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._disturbed = False
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="control plane")
        home = os.environ.get("KUBERNETES_DIR", "~/.cache/serinus/kubernetes")
        self._binaries = Path(home).expanduser() / "bin"

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://127.0.0.1:{self._port}"

    @property
    def authority(self) -> Path:
        """The certificate that the API server's is signed with."""
        return self.folder / "ca.crt"

    def __enter__(self) -> ControlPlane:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._make_secrets()
        try:
            self._start("etcd", self._etcd())
            self.start_api_server()
            self._start_controllers()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in ("kube-controller-manager", "kube-apiserver", "etcd"):
            self._stop(name, signal.SIGTERM)
        self._starter.shutdown()

    def kill_api_server(self) -> None:
        """Have the API server die at once."""
        self._disturbed = True
        self._stop("kube-apiserver", signal.SIGKILL)

    def start_api_server(self) -> None:
        """Start the API server, and return when it is ready."""
        self._start("kube-apiserver", self._api_server())
        self._wait("/readyz", lambda: self.call("GET", "/readyz") == b"ok", "kube-apiserver")

    def mend(self) -> None:
        """Undo what was done to the API server; controllers begin anew, as they wait for long."""
        if self._disturbed:
            if "kube-apiserver" not in self._processes:
                self.start_api_server()
            self.send("kube-apiserver", signal.SIGCONT)
            self._stop("kube-controller-manager", signal.SIGKILL)
            self._start_controllers()
            self._disturbed = False

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process: SIGSTOP makes a server silent."""
        self._disturbed = True
        self._processes[name].send_signal(number)

    def token(self, user: str) -> str:
        """Return the token of a user in tokens.csv."""
        lines = (line.split(",") for line in self._tokens.read_text().splitlines())
        return next(token for token, name, *_ in lines if name == user)

    def kubeconfig(
        self, user: str, *, token: str | None = None, namespace: str = "default"
    ) -> Path:
        """Write and return a kubeconfig, with another token where one is given."""
        path = self.folder / f"{user.replace(':', '-')}.kubeconfig"
        text = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [
                {"name": "here", "context": _context(user, namespace)},
            ],
            "clusters": [
                {
                    "name": "here",
                    "cluster": {
                        "server": self.server,
                        "certificate-authority-data": base64.b64encode(
                            self.authority.read_bytes()
                        ).decode(),
                    },
                }
            ],
            "users": [{"name": user, "user": {"token": token or self.token(user)}}],
        }
        path.write_text(json.dumps(text, indent=1))  # JSON is YAML
        return path

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        kind: str = "application/json",
    ) -> bytes:
        """Ask the API server as its administrator.

        Raises AnswerError for an answer that is no good one, OSError where there is none.
        """
        request = urllib.request.Request(
            self.server + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.token('admin')}",
                "Content-Type": kind,
            },
        )
        context = ssl.create_default_context(cafile=str(self.authority))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        try:
            with opener.open(request, timeout=10) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise AnswerError(error) from None

    def _start_controllers(self) -> None:
        self._start("kube-controller-manager", self._controller_manager())
        self._wait("the first ServiceAccount", self._has_account, "kube-controller-manager")

    # --- processes ---------------------------------------------------------------------------

    def _start(self, name: str, arguments: Sequence[str]) -> None:
        # It dies with us, however we die: with the thread that started it, to be exact
        # (PR_SET_PDEATHSIG in prctl(2)), so one thread that lasts starts them all.
        command = ["setpriv", "--pdeathsig", "KILL", *arguments]
        self._processes[name] = self._starter.submit(self._spawn, name, command).result()

    def _spawn(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with self._log(name).open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _stop(self, name: str, number: signal.Signals) -> None:
        process = self._processes.pop(name, None)
        if process is None:
            return
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _wait(self, what: str, holds: Callable[[], bool], name: str, seconds: float = 90) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if holds():
                    return
            except (OSError, LookupError, AnswerError):
                pass  # not yet
            gone = self._processes[name].poll() is not None
            if gone or time.monotonic() > deadline:
                end = self._log(name).read_text(errors="replace").splitlines()[-15:]
                why = "it ended" if gone else f"nothing after {seconds:.0f} s"
                raise ControlPlaneError("\n".join([f"{name}, {what}: {why}", *end]))
            time.sleep(0.05)

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _has_account(self) -> bool:
        account = self.call("GET", "/api/v1/namespaces/default/serviceaccounts/default")
        return bool(json.loads(account)["secrets"])

    # --- what they are started with ----------------------------------------------------------

    def _etcd(self) -> list[str]:
        client, peer = (f"http://127.0.0.1:{n}" for n in (self._etcd_port, self._peer_port))
        return [
            *("etcd", "--name=here", f"--data-dir={self.folder / 'etcd'}", "--unsafe-no-fsync"),
            *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
            *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"),
            *(f"--initial-cluster=here={peer}", "--logger=zap", "--log-level=warn"),
        ]

    def _api_server(self) -> list[str]:
        certificate, key = self.folder / "server.crt", self.folder / "server.key"
        return [
            *(str(self._binaries / "kube-apiserver"), f"--secure-port={self._port}"),
            *(f"--etcd-servers=http://127.0.0.1:{self._etcd_port}", "--bind-address=127.0.0.1"),
            *("--advertise-address=192.0.2.1", "--service-cluster-ip-range=10.96.0.0/16"),
            *(f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}"),
            *(f"--client-ca-file={self.authority}", f"--token-auth-file={self._tokens}"),
            *("--authorization-mode=RBAC", "--insecure-port=0"),
            *(f"--service-account-key-file={self._account_key}", "--service-account-issuer=here"),
            *(f"--service-account-signing-key-file={self._account_key}", "--api-audiences=here"),
        ]

    def _controller_manager(self) -> list[str]:
        config = self.kubeconfig(CONTROLLERS)
        certificate, key = self.folder / "server.crt", self.folder / "server.key"
        return [
            *(str(self._binaries / "kube-controller-manager"), f"--kubeconfig={config}"),
            *(f"--authorization-kubeconfig={config}", "--authentication-skip-lookup=true"),
            *("--bind-address=127.0.0.1", f"--secure-port={self._controllers_port}", "--port=0"),
            *(f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}"),
            *(f"--service-account-private-key-file={self._account_key}", "--leader-elect=false"),
            *(f"--root-ca-file={self.authority}", "--use-service-account-credentials=true"),
            f"--controllers={_NEEDED}",
        ]

    @property
    def _tokens(self) -> Path:
        return self.folder / "tokens.csv"

    @property
    def _account_key(self) -> Path:
        return self.folder / "accounts.key"

    def _make_secrets(self) -> None:
        if self._tokens.exists():
            return
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
        new = ("req", "-x509", "-nodes", "-days", "365", *curve)
        authority = ("-subj", "/CN=here", "-keyout", "ca.key", "-out", "ca.crt")
        self._openssl(*new, *authority)
        server = ("-subj", "/CN=kube-apiserver", "-keyout", "server.key", "-out", "server.crt")
        names = ("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost")
        leaf = ("-addext", "basicConstraints=critical,CA:FALSE")
        self._openssl(*new, *server, *names, *leaf, "-CA", "ca.crt", "-CAkey", "ca.key")
        self._openssl("genrsa", "-out", self._account_key.name, "2048")
        users = {"admin": ADMIN, CONTROLLERS: ""}
        lines = [f"{secrets.token_urlsafe(24)},{user},{user},{g}" for user, g in users.items()]
        self._tokens.touch(mode=0o600)
        self._tokens.write_text("\n".join(lines) + "\n")  # last: where it is, all is

    def _openssl(self, *arguments: str) -> None:
        try:
            subprocess.run(
                ["openssl", *arguments], cwd=self.folder, check=True, capture_output=True
            )
        except subprocess.CalledProcessError as error:
            raise ControlPlaneError(f"openssl: {error.stderr.decode()}") from error


def _context(user: str, namespace: str) -> dict[str, str]:
    return {"cluster": "here", "user": user, "namespace": namespace}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextmanager
def _until_told() -> Iterator[None]:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        yield
        signal.pause()
    except KeyboardInterrupt:
        pass


def main() -> int:
    """Run one until told to end."""
    summary = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=summary)
    parser.add_argument("folder", type=Path, metavar="DIR", help="the cluster's folder")
    parser.add_argument("--port", type=int, help="the API server's port (default: a free one)")
    arguments = parser.parse_args()
    if not is_built():
        sys.exit(f"control_plane.py: nothing is built; run {BUILD}")
    try:
        with ControlPlane(arguments.folder, port=arguments.port) as plane, _until_told():
            print(plane.kubeconfig("admin"), flush=True)
    except ControlPlaneError as error:
        sys.exit(f"control_plane.py: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
