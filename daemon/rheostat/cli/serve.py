"""The verb `serve`: the daemon in the foreground."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from rheostat.cli.connection import state_folder
from rheostat.cli.options import STATE_DIR_HELP

DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_METRICS_ADDRESS = "127.0.0.1:9464"
DEFAULT_DRAIN_SECONDS = 30.0
DEFAULT_MESSAGE_BYTES = 4 * 2**20
DEFAULT_REQUESTS_PER_MINUTE = 12_000
DEFAULT_STREAMS = 100
DEFAULT_CONCURRENT_CALLS = 4_000
DEFAULT_KUBE_AUDIENCE = "rheostat"
_ACCESS = "Who may call"
_LIMITS = "What callers may ask for"
_KUBERNETES = "Kubernetes"


def serve(
    state_dir: Annotated[
        str | None, typer.Option(envvar="RHEOSTAT_STATE_DIR", help=STATE_DIR_HELP)
    ] = None,
    address: Annotated[
        str, typer.Option(envvar="RHEOSTAT_ADDRESS", help="host:port for gRPC.")
    ] = DEFAULT_ADDRESS,
    metrics_address: Annotated[
        str,
        typer.Option(
            envvar="RHEOSTAT_METRICS_ADDRESS",
            help="host:port for /metrics, /healthz and /readyz.",
        ),
    ] = DEFAULT_METRICS_ADDRESS,
    page_address: Annotated[
        str | None,
        typer.Option(
            envvar="RHEOSTAT_PAGE_ADDRESS",
            help="host:port for the page, which a browser shows; without it there is none.",
        ),
    ] = None,
    health_address: Annotated[
        str | None,
        typer.Option(
            envvar="RHEOSTAT_HEALTH_ADDRESS",
            help="host:port for /healthz and /readyz alone, without TLS, for probes.",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(
            envvar="RHEOSTAT_TLS_CERT",
            metavar="FILE",
            rich_help_panel=_ACCESS,
            help="Certificate chain (PEM) of every port but health; read again when it changes.",
        ),
    ] = None,
    tls_key: Annotated[
        Path | None,
        typer.Option(
            envvar="RHEOSTAT_TLS_KEY",
            metavar="FILE",
            rich_help_panel=_ACCESS,
            help="Private key (PEM) of the certificate.",
        ),
    ] = None,
    tls_client_ca: Annotated[
        Path | None,
        typer.Option(
            envvar="RHEOSTAT_TLS_CLIENT_CA",
            metavar="FILE",
            rich_help_panel=_ACCESS,
            help="Demand client certificates from these CAs (PEM).",
        ),
    ] = None,
    tokens: Annotated[
        Path | None,
        typer.Option(
            envvar="RHEOSTAT_TOKENS",
            metavar="FILE",
            rich_help_panel=_ACCESS,
            help="Know callers by bearer tokens, one line each as `rheostat token` prints them.",
        ),
    ] = None,
    roles: Annotated[
        Path | None,
        typer.Option(
            envvar="RHEOSTAT_ROLES",
            metavar="FILE",
            rich_help_panel=_ACCESS,
            help="Who may do what (YAML); read again when it changes.",
        ),
    ] = None,
    reflection: Annotated[
        bool,
        typer.Option(
            "--reflection",
            envvar="RHEOSTAT_REFLECTION",
            rich_help_panel=_ACCESS,
            help="Offer gRPC reflection, which is off where callers must prove who they are.",
        ),
    ] = False,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            envvar="RHEOSTAT_INSECURE",
            rich_help_panel=_ACCESS,
            help="Let other machines call without TLS, or without being asked who they are.",
        ),
    ] = False,
    allow_import: Annotated[
        list[str] | None,
        typer.Option(
            envvar="RHEOSTAT_ALLOW_IMPORT",
            metavar="PATTERN",
            rich_help_panel=_LIMITS,
            help="Let admins' specs and policies name such code, as 'my_module:*'; repeatable.",
            show_default=False,
        ),
    ] = None,
    data_root: Annotated[
        list[Path] | None,
        typer.Option(
            envvar="RHEOSTAT_DATA_ROOT",
            metavar="DIR",
            rich_help_panel=_LIMITS,
            help="Let specs read below this folder; repeatable; by default below the present one.",
            show_default=False,
        ),
    ] = None,
    max_message_bytes: Annotated[
        int,
        typer.Option(
            envvar="RHEOSTAT_MAX_MESSAGE_BYTES", rich_help_panel=_LIMITS, help="Of one request."
        ),
    ] = DEFAULT_MESSAGE_BYTES,
    max_requests_per_minute: Annotated[
        int,
        typer.Option(
            envvar="RHEOSTAT_MAX_REQUESTS_PER_MINUTE",
            rich_help_panel=_LIMITS,
            help="Of one principal.",
        ),
    ] = DEFAULT_REQUESTS_PER_MINUTE,
    max_streams: Annotated[
        int,
        typer.Option(
            envvar="RHEOSTAT_MAX_STREAMS",
            rich_help_panel=_LIMITS,
            help="Watches, exports and remote policies of one principal at once.",
        ),
    ] = DEFAULT_STREAMS,
    max_concurrent_calls: Annotated[
        int,
        typer.Option(
            envvar="RHEOSTAT_MAX_CONCURRENT_CALLS",
            rich_help_panel=_LIMITS,
            help="Of all callers together.",
        ),
    ] = DEFAULT_CONCURRENT_CALLS,
    specs: Annotated[
        Path | None,
        typer.Option(
            envvar="RHEOSTAT_SPECS",
            metavar="DIR",
            help="Create a run for each spec file of this folder, once.",
        ),
    ] = None,
    kubernetes: Annotated[
        bool,
        typer.Option(
            "--kubernetes",
            envvar="RHEOSTAT_KUBERNETES",
            rich_help_panel=_KUBERNETES,
            help="Train the TrainingRuns of a namespace, and report on them there.",
        ),
    ] = False,
    kube_namespace: Annotated[
        str | None,
        typer.Option(
            envvar="RHEOSTAT_KUBE_NAMESPACE",
            rich_help_panel=_KUBERNETES,
            help="That namespace; by default the pod's own, or the kubeconfig's.",
        ),
    ] = None,
    kube_auth: Annotated[
        bool,
        typer.Option(
            "--kube-auth",
            envvar="RHEOSTAT_KUBE_AUTH",
            rich_help_panel=_KUBERNETES,
            help="Know callers by tokens of service accounts, and let RBAC say what they may.",
        ),
    ] = False,
    kube_audience: Annotated[
        str,
        typer.Option(
            envvar="RHEOSTAT_KUBE_AUDIENCE",
            rich_help_panel=_KUBERNETES,
            help="Whom such a token must be made for.",
        ),
    ] = DEFAULT_KUBE_AUDIENCE,
    daemon_name: Annotated[
        str | None,
        typer.Option(
            envvar="RHEOSTAT_DAEMON_NAME",
            rich_help_panel=_KUBERNETES,
            help="What TrainingRuns call this daemon; by default the name of the machine or pod.",
        ),
    ] = None,
    max_concurrent_runs: Annotated[
        int,
        typer.Option(
            envvar="RHEOSTAT_MAX_CONCURRENT_RUNS",
            min=1,
            help="Runs that train at once; the others wait.",
        ),
    ] = 1,
    max_restarts: Annotated[
        int,
        typer.Option(
            envvar="RHEOSTAT_MAX_RESTARTS",
            min=0,
            help="Trainers in a row that may die without getting any farther; then the run fails.",
        ),
    ] = 3,
    rendezvous: Annotated[
        str | None,
        typer.Option(
            envvar="RHEOSTAT_RENDEZVOUS",
            metavar="HOST:PORT",
            help="Where machines that run `rheostat agent` join runs with train.nodes above 1: "
            "this machine, as they know it. Whoever reaches it can take part.",
        ),
    ] = None,
    drain_seconds: Annotated[
        float,
        typer.Option(
            envvar="RHEOSTAT_DRAIN_SECONDS",
            min=0.0,
            help="Time that trainers get to put their runs by on SIGTERM.",
        ),
    ] = DEFAULT_DRAIN_SECONDS,
    log_format: Annotated[
        Literal["human", "json"],
        typer.Option(
            envvar="RHEOSTAT_LOG_FORMAT", help="Lines for people, or one JSON object each."
        ),
    ] = "human",
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        typer.Option(envvar="RHEOSTAT_LOG_LEVEL", help="Least level logged."),
    ] = "info",
) -> None:
    """Run the daemon until SIGTERM or Ctrl-C."""
    from rheostat import app
    from rheostat.door.limits import Limits
    from rheostat.settings import Settings

    app.serve(
        Settings(
            state_dir=state_folder(state_dir),
            address=address,
            metrics_address=metrics_address,
            page_address=page_address,
            health_address=health_address,
            tls_cert=tls_cert,
            tls_key=tls_key,
            tls_client_ca=tls_client_ca,
            tokens=tokens,
            roles=roles,
            reflection=reflection,
            insecure=insecure,
            allow_imports=tuple(allow_import or ()),
            data_roots=tuple(data_root or ()),
            limits=Limits(
                message_bytes=max_message_bytes,
                requests_per_minute=max_requests_per_minute,
                streams=max_streams,
                concurrent_calls=max_concurrent_calls,
            ),
            specs=specs,
            kubernetes=kubernetes,
            kube_namespace=kube_namespace,
            kube_auth=kube_auth,
            kube_audience=kube_audience,
            daemon_name=daemon_name,
            max_concurrent_runs=max_concurrent_runs,
            max_restarts=max_restarts,
            rendezvous=rendezvous,
            drain_seconds=drain_seconds,
            log_format=log_format,
            log_level=log_level,
        )
    )
