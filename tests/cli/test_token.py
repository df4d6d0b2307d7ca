import hashlib
import json


def test_token_prints_a_token_once_and_the_line_that_knows_it(rheostat):
    said = json.loads(rheostat("token", "ada", "--json").stdout)

    digest = hashlib.sha256(said["token"].encode()).hexdigest()
    assert said["principal"] == "ada"
    assert (said["line"], said["role"]) == (f"ada sha256:{digest}", None)


def test_a_token_may_carry_a_role(rheostat):
    said = json.loads(rheostat("token", "ada", "--role", "operator", "--json").stdout)

    assert said["role"] == "operator"
    assert said["line"].endswith(" operator")


def test_people_are_told_what_goes_where(rheostat):
    token, line = [
        text.strip() for text in rheostat("token", "ada").stdout.splitlines() if text[0] == " "
    ]

    assert line == f"ada sha256:{hashlib.sha256(token.encode()).hexdigest()}"


def test_a_name_that_no_line_can_hold_is_refused(rheostat):
    refused = rheostat("token", "ada lovelace")

    assert refused.exit_code == 2
    assert "name = ada lovelace: a name" in refused.stderr
