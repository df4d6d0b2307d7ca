from pathlib import Path

import pytest

from rheostat.errors import InvalidRequest
from rheostat.settings import Settings

PAIR = {"tls_cert": Path("a.crt"), "tls_key": Path("a.key")}
OPEN = {"address": "0.0.0.0:50051", "metrics_address": "0.0.0.0:9464"}


def violations(**fields):
    try:
        Settings(state_dir=Path("state"), **fields).check()
    except InvalidRequest as error:
        return {violation.field: violation for violation in error.violations}
    return {}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"address": "unix:/run/rheostat.sock", "metrics_address": "[::1]:0"},
        {**OPEN, **PAIR, "tokens": Path("tokens")},
        {**OPEN, **PAIR, "tls_client_ca": Path("ca.pem"), "roles": Path("roles.yaml")},
        {**OPEN, **PAIR, "tls_client_ca": Path("ca.pem"), "tokens": Path("tokens")},
        {**OPEN, "insecure": True},
        {"health_address": "0.0.0.0:9465"},
        {"tokens": Path("tokens")},
    ],
)
def test_what_strangers_cannot_reach_or_must_prove_themselves_for_is_allowed(fields):
    assert violations(**fields) == {}


@pytest.mark.parametrize(
    "proofs", [{}, PAIR, {"tokens": Path("tokens")}], ids=["nothing", "TLS alone", "tokens alone"]
)
@pytest.mark.parametrize("field", ["address", "metrics_address", "page_address"])
def test_what_strangers_could_steer_or_read_is_refused_with_the_mend(field, proofs):
    [(named, violation)] = violations(**{field: "0.0.0.0:1"}, **proofs).items()

    assert (named, violation.value) == (field, "0.0.0.0:1")
    options = ("--tls-cert", "--tls-key", "--tokens", "--tls-client-ca", "--insecure")
    assert all(option in violation.expected for option in options)


def test_all_mistakes_are_told_at_once():
    found = violations(**OPEN, tls_client_ca=Path("ca.pem"), specs=Path("nowhere"))

    assert set(found) == {"tls_client_ca", "address", "metrics_address", "specs"}


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"tls_cert": Path("a.crt")}, "tls_key"),
        ({"tls_key": Path("a.key")}, "tls_key"),
        ({"tls_client_ca": Path("ca.pem")}, "tls_client_ca"),
    ],
)
def test_half_of_a_certificate_is_refused(given, field):
    assert set(violations(**given)) == {field}


def test_certificates_carry_no_role_so_somebody_else_must_give_them_one():
    assert set(violations(**PAIR, tls_client_ca=Path("ca.pem"))) == {"roles"}


def test_roles_mean_nothing_where_anybody_may_claim_any_name():
    [(field, violation)] = violations(roles=Path("roles.yaml")).items()

    assert (field, "--tokens, --tls-client-ca or --kube-auth" in violation.expected) == (
        "roles",
        True,
    )
