"""Values that cannot work together are refused with a reason."""

import pytest

TLS = {"tls": {"existingSecret": "certificate"}}
TOKENS = {"auth": {"tokens": {"existingSecret": "tokens"}}}
OPEN = {"exposed": True, "insecure": True}

REFUSALS = [
    ({"exposed": True}, "exposed without TLS and authentication"),
    ({"exposed": True, **TLS}, "exposed without TLS and authentication"),
    ({"exposed": True, **TOKENS}, "exposed without TLS and authentication"),
    ({**OPEN, "service": {"type": "NodePort"}}, "from outside the cluster"),
    ({"service": {"type": "LoadBalancer"}}, "without exposed: true"),
    (
        {"tls": {"existingSecret": "mine", "certManager": {"enabled": True}}},
        "the certificate comes from one of them",
    ),
    ({"tls": {"certManager": {"enabled": True}}}, "without issuerRef.name"),
    ({"tls": {"certManager": {"clientCertificate": {"enabled": True}}}}, "who would issue it"),
    ({"auth": {"clientCA": {"existingSecret": "ca"}}}, "no client certificates without TLS"),
    (
        {**TLS, "auth": {"clientCA": {"existingSecret": "ca"}}},
        "client certificates carry no role",
    ),
    ({"auth": {"roles": {"existingConfigMap": "r"}}}, "anybody could claim any name"),
    (
        {
            "auth": {
                "tokens": {"existingSecret": "t"},
                "roles": {
                    "existingConfigMap": "r",
                    "bindings": [{"role": "admin", "principals": ["a"]}],
                },
            }
        },
        "auth.roles.bindings: give one",
    ),
    (
        {"auth": {"kubernetes": {"enabled": True}}, "rbac": {"create": False}},
        "could not ask who callers are",
    ),
    (
        {**TLS, "auth": {"clientCA": {"existingSecret": "ca", "sameAsServer": True}}},
        "auth.clientCA.sameAsServer: give one",
    ),
    (
        {"auth": {"tokens": {"existingSecret": "tokens", "lines": [f"ada sha256:{'0' * 64}"]}}},
        "auth.tokens.lines: give one",
    ),
    ({"distributed": {"nodes": 2}}, "distributed.nodes: 2 without networkPolicy.enabled"),
    (
        {
            "distributed": {"nodes": 2},
            "networkPolicy": {"enabled": True},
            "data": {"kind": "claim"},
        },
        "cannot mount one of ReadWriteOnce",
    ),
    (
        {"distributed": {"nodes": 2, "port": 9464}, "insecure": True},
        "distributed.port: 9464 is a port of the daemon's",
    ),
    ({"replicas": 2}, "replicas: 2: a state directory belongs to one daemon"),
    ({"terminationGracePeriodSeconds": 44}, "44 is too short.* at least 45"),
    ({"runs": {"digits": {}}, "runsConfigMap": "mine"}, "runs and runsConfigMap"),
    ({"state": {"kind": "existingClaim"}}, "state.kind: existingClaim without"),
    ({"data": {"kind": "existingClaim"}}, "data.kind: existingClaim without"),
    ({"data": {"existingClaim": "sets"}}, "data.kind: none: it would not be used"),
    ({"data": {"kind": "volume"}}, "takes one source"),
    ({"data": {"volume": {"nfs": {}}}}, "data.volume with data.kind: none"),
    (
        {
            "gpu": {"products": ["H100"]},
            "affinity": {
                "nodeAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}
                }
            },
        },
        "write the products there yourself",
    ),
    (
        {"gpu": {"count": 2}, "resources": {"limits": {"nvidia.com/gpu": 1}}},
        "gpu.count and resources.limits both",
    ),
    ({"extraVolumes": [{"name": "tmp", "emptyDir": {}}]}, 'has a volume "tmp" already'),
    (
        {"trainingRuns": {"enabled": True}, "rbac": {"create": False}},
        "would have no right to TrainingRuns",
    ),
    (
        {**OPEN, "monitoring": {k: {"enabled": True} for k in ("serviceMonitor", "podMonitor")}},
        "scrape every metric twice",
    ),
    ({"monitoring": {"serviceMonitor": {"enabled": True}}}, "where no Prometheus gets them"),
    ({"monitoring": {"scrapeAnnotations": True}}, "where no Prometheus gets them"),
    (
        {"exposed": True, **TLS, **TOKENS, "monitoring": {"podMonitor": {"enabled": True}}},
        "auth.tokens without a token for Prometheus",
    ),
    (
        {
            "exposed": True,
            **TLS,
            "auth": {"clientCA": {"sameAsServer": True}, "roles": {"existingConfigMap": "r"}},
            "monitoring": {"podMonitor": {"enabled": True}},
        },
        "auth.clientCA without a certificate for Prometheus",
    ),
]


@pytest.mark.parametrize(("values", "reason"), REFUSALS, ids=[reason for _, reason in REFUSALS])
def test_it_is_refused_with_its_reason(render, refused, values, reason):
    with pytest.raises(refused, match=reason):
        render(values)


def test_all_reasons_are_told_at_once(helm, refused):
    arguments = ("exposed=true", "replicas=3", "state.kind=existingClaim")
    with pytest.raises(refused) as told:
        helm.template(*(f"--set={argument}" for argument in arguments))

    reasons = [line for line in str(told.value).splitlines() if line.startswith("- ")]
    assert [reason.split()[1] for reason in reasons] == ["replicas:", "exposed", "state.kind:"]


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("--set-string=runs.digits=train", "runs.digits: must be a spec as a map, not a string"),
        ('--set-json=runs=["digits"]', "runs: must be a map of specs by name"),
    ],
)
def test_runs_that_are_no_maps_are_refused_even_without_the_schema(helm, refused, argument, reason):
    with pytest.raises(refused, match=reason):
        helm.template(argument, "--skip-schema-validation")


def test_a_name_that_no_service_may_have_is_refused(render, refused):
    with pytest.raises(refused, match="begins with a digit"):
        render(name="1st")


def test_insecure_is_all_it_takes_within_the_cluster(render):
    assert "--insecure" in render.daemon(OPEN)["args"]


def test_insecure_is_not_passed_on_where_nothing_is_missing(render):
    assert "--insecure" not in render.daemon({**OPEN, **TLS, **TOKENS})["args"]


def test_a_longer_grace_period_is_taken(render):
    assert render.pod({"terminationGracePeriodSeconds": 45})["terminationGracePeriodSeconds"] == 45


def test_a_parent_chart_may_use_a_condition(render):
    assert render({"enabled": True}) == render()
