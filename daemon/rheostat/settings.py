"""How a daemon is set up, and which set-ups are refused."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from rheostat.door.addresses import is_loopback
from rheostat.door.limits import Limits
from rheostat.door.tls import TlsFiles
from rheostat.errors import InvalidRequest, Violation
from rheostat.spec.admission import Admission


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a daemon is set up."""

    state_dir: Path
    """Its memory: database, run folders, and where the daemon of this folder can be found."""
    address: str = "127.0.0.1:50051"
    """host:port of the control plane; port 0 takes a free one."""
    metrics_address: str = "127.0.0.1:9464"
    """host:port of /metrics, /healthz and /readyz; port 0 takes a free one."""
    page_address: str | None = None
    """host:port of the page; port 0 takes a free one, None serves no page."""
    health_address: str | None = None
    """host:port of a plaintext server of /healthz and /readyz alone; None for none."""
    tls_cert: Path | None = None
    """The daemon's certificate in PEM; with it gRPC, /metrics and the page speak TLS only."""
    tls_key: Path | None = None
    """Its private key in PEM."""
    tls_client_ca: Path | None = None
    """CAs in PEM; with them every client must present a certificate from one of them."""
    tokens: Path | None = None
    """A token file; with it every caller must present a token, or a certificate as above."""
    roles: Path | None = None
    """A file of roles: who may do what, beside what a line of the token file says of its token."""
    reflection: bool = False
    """Whether callers may ask which services there are, where they must prove who they are."""
    insecure: bool = False
    """Whether other machines may reach a daemon that lacks TLS or does not ask who they are."""
    trusts_specs: bool = False
    """Whether everybody's specs may name any code and any file: where nobody else is there."""
    allow_imports: tuple[str, ...] = ()
    """Patterns of `package.module:attribute` that others' specs and policies may name."""
    data_roots: tuple[Path, ...] = ()
    """Folders below which they may read; none is the folder that the daemon was started in, unless
    that is /."""
    limits: Limits = field(default_factory=Limits)
    """How much callers may ask for."""
    specs: Path | None = None
    """A folder of specs to create runs from at the start, once each."""
    kubernetes: bool = False
    """Whether to train the TrainingRuns of a Kubernetes namespace, and to report on them."""
    kube_namespace: str | None = None
    """That namespace; None is the pod's own, or that of the kubeconfig's context."""
    kube_auth: bool = False
    """Whether callers may present tokens of Kubernetes, and RBAC says what these may do."""
    kube_audience: str = "rheostat"
    """Whom such a token must be made for."""
    daemon_name: str | None = None
    """What this daemon is called in the namespace; None is the name of the machine."""
    max_concurrent_runs: int = 1
    continue_queue: bool = True
    """Whether to train what an earlier daemon left behind, in the queue or without a trainer."""
    max_restarts: int = 3
    """Trainers in a row that may die without getting farther than those before; 0 restarts none."""
    trainer_patience: float | None = None
    """Seconds that a trainer trains on without any daemon, before it ends its run in order to be
    resumed; None is for ever."""
    rendezvous: str | None = None
    """host:port where machines that run `rheostat agent` join runs of several `nodes`; None for
    none. The host is this machine, as the others know it."""
    drain_seconds: float = 30.0
    """Time that trainers get to reach a step boundary, validate and save before they are killed."""
    log_format: Literal["human", "json"] = "human"
    log_level: str = "info"

    @property
    def tls(self) -> TlsFiles | None:
        """The files behind TLS; None without a certificate."""
        if self.tls_cert is None or self.tls_key is None:
            return None
        return TlsFiles(cert=self.tls_cert, key=self.tls_key, client_ca=self.tls_client_ca)

    @property
    def admission(self) -> Admission | None:
        """What specs may name that are not the owner's; None is anything."""
        if self.trusts_specs:
            return None
        here = Path.cwd()
        usual = () if here == Path(here.anchor) else (here,)
        return Admission(imports=self.allow_imports, roots=self.data_roots or usual)

    @property
    def asks(self) -> bool:
        """Whether callers must prove who they are."""
        return self.kube_auth or self.tokens is not None or self.tls_client_ca is not None

    @property
    def exposed(self) -> tuple[str, ...]:
        """The fields that are addresses which other machines can reach, and should not yet."""
        if self.tls is not None and self.asks:
            return ()
        fields = ("address", "metrics_address", "page_address")
        given = {field: getattr(self, field) for field in fields}
        return tuple(field for field, one in given.items() if one and not is_loopback(one))

    def check(self) -> None:
        """Refuse what would leave the daemon open by mistake.

        Raises:
            InvalidRequest: with every such field.
        """
        if violations := list(self._violations()):
            raise InvalidRequest(violations)

    def _violations(self) -> Iterator[Violation]:
        if self.tls_cert is not None and self.tls_key is None:
            yield Violation("tls_key", "", "the private key of --tls-cert")
        if self.tls_cert is None:
            for field in ("tls_key", "tls_client_ca"):
                if (path := getattr(self, field)) is not None:
                    yield Violation(field, str(path), "a --tls-cert beside it")
        by_certificate = self.tls is not None and self.tls_client_ca is not None
        if by_certificate and not (self.kube_auth or self.tokens or self.roles):
            yield Violation("roles", "", "a file of roles, as client certificates carry none")
        if self.roles is not None and not self.asks:
            expected = (
                "--tokens, --tls-client-ca or --kube-auth, as else anybody may claim any name"
            )
            yield Violation("roles", str(self.roles), expected)
        if not self.insecure:
            for field in self.exposed:
                yield Violation(field, getattr(self, field), _MEND)
        for index, root in enumerate(self.data_roots):
            if not root.is_dir():
                yield Violation(f"data_root[{index}]", str(root), "a folder")
        yield from self.limits.violations()
        if self.rendezvous is not None and not _RENDEZVOUS.fullmatch(self.rendezvous):
            expected = "HOST:PORT, this machine as the others know it, and a port of its own"
            yield Violation("rendezvous", self.rendezvous, expected)
        if self.specs is not None and not self.specs.is_dir():
            yield Violation("specs", str(self.specs), "a folder of spec files")


_RENDEZVOUS = re.compile(r"[^:\s]+:[1-9]\d{0,4}")
_MEND = (
    "a loopback address such as 127.0.0.1:0; for other machines to reach it, give --tls-cert, "
    "--tls-key, and --tokens, --tls-client-ca or --kube-auth, or let everybody steer: --insecure"
)
