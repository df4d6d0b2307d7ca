"""What is in the image, and what must not be."""

import json

BUILD_TOOLS = "pip pip3 gcc cc g++ c++ clang make cmake ld as git curl wget rustc cargo go"


def test_the_user_is_a_number_that_kubernetes_can_tell_from_root(inspected):
    assert inspected["Config"]["User"] == "10001:10001"


def test_tini_is_process_one_and_hands_signals_on_without_a_shell(inspected):
    assert inspected["Config"]["Entrypoint"] == ["tini", "--", "rheostat"]
    assert inspected["Config"]["Cmd"] == ["serve"]


def test_the_labels_say_what_it_is_and_where_it_comes_from(inspected):
    labels = {
        name.removeprefix("org.opencontainers.image."): value
        for name, value in inspected["Labels"].items()
    }
    assert labels["title"] == "Rheostat"
    assert labels["licenses"] == "Apache-2.0"
    assert labels["base.name"].startswith("localhost/debian:")
    assert labels["version"] == "0.0.0"
    assert labels["revision"] == "0000000"
    assert labels["created"] == "1970-01-01T00:00:00Z"


def test_it_brings_no_tools_to_build_with(inside):
    assert inside(f"command -v {BUILD_TOOLS} || true") == []
    assert inside("python3 -m pip --version || echo none") == ["none"]


def test_it_brings_what_a_daemon_in_a_cluster_needs(inside):
    assert inside("python3 -c 'import kubernetes'") == []


def test_no_file_gives_its_user_other_rights(inside):
    assert inside("find / -xdev -type f -perm /6000") == []


def test_nothing_but_the_state_belongs_to_the_user_or_can_be_written_by_it(inside):
    writable = inside(
        "find / -xdev -not -type l "
        r"\( -user 10001 -o -group 10001 -o -perm -o+w -not -perm -o+t \)"
    )
    assert writable == ["/var/lib/rheostat"]


def test_it_holds_no_secrets(inside, inspected):
    names = {entry.partition("=")[0] for entry in inspected["Config"]["Env"]}
    assert not [name for name in names if any(word in name for word in ("TOKEN", "KEY", "PASS"))]
    assert inside("ls -d /etc/pip.conf /root/.cache /root/.netrc /root/.config || true") == []
    assert inside("grep -rlE 'BEGIN .*PRIVATE KEY-----$' /etc /opt /root || true") == []


def test_of_the_checkout_it_holds_the_package_and_nothing_else(inside):
    names = sorted(name.partition("-")[0] for name in inside("ls -A /opt/rheostat"))
    assert names == ["bin", "rheostat", "rheostat", "rheostat_policies"]


def test_a_change_of_the_code_ships_one_layer(image, inspected, build_changed):
    changed = build_changed("daemon/rheostat/__main__.py")
    *below, code = inspected["RootFS"]["Layers"]
    *below_changed, changed_code = changed["RootFS"]["Layers"]
    assert below_changed == below
    assert changed_code != code


def test_it_carries_a_list_of_what_is_in_it(inside):
    found = json.loads("\n".join(inside("cat /usr/share/rheostat/sbom.cdx.json")))
    versions = {one["name"].lower(): one["version"] for one in found["components"]}
    installed = inside(
        "python3 -c 'from importlib.metadata import distributions as all; "
        'print(*{f"{one.name.lower()}=={one.version}" for one in all(path=["/opt/venv/lib/"'
        '+__import__("os").listdir("/opt/venv/lib")[0]+"/site-packages"])}, sep="\\n")\''
    )

    assert found["bomFormat"] == "CycloneDX"
    assert {f"{name}=={version}" for name, version in versions.items()} >= set(installed)
