"""Every file of ci/, with both lines of Helm, on every Kubernetes that the chart supports."""

import functools
import json
import tarfile

import pytest
import yaml
from tests.chart.conftest import HELMS, KUBERNETES

from rheostat.spec.validation import load


def test_the_linter_has_nothing_to_say_of_a_scenario(helm, chart, scenario):
    report = helm("lint", "--strict", chart, "--values", chart / f"ci/{scenario}-values.yaml")

    assert "0 chart(s) failed" in report
    assert "[WARNING]" not in report


@pytest.fixture(scope="module")
def rendered(helms, chart):
    """What a scenario becomes: by the newest Helm, for the newest Kubernetes."""
    return functools.cache(lambda scenario: template(helms[HELMS[0]], chart, scenario))


def template(helm, chart, scenario, kubernetes=KUBERNETES[-1]):
    values = chart / f"ci/{scenario}-values.yaml"
    return helm.template("--values", values, f"--kube-version={kubernetes}.0")


def test_both_helms_render_the_same_objects_for_the_oldest_and_the_newest_kubernetes(
    helms, chart, scenario, rendered
):
    expected = by_name(rendered(scenario))

    for helm in helms.values():
        for kubernetes in (KUBERNETES[0], KUBERNETES[-1]):
            assert by_name(template(helm, chart, scenario, kubernetes)) == expected


def test_no_template_asks_for_which_kubernetes_it_renders(chart):
    """So what a scenario becomes is rendered once, and checked against every Kubernetes."""
    templates = list((chart / "templates").rglob("*.*"))

    assert len(templates) > 20
    assert not [path.name for path in templates if "Capabilities" in path.read_text()]


def test_the_objects_of_a_scenario_are_valid(rendered, scenario, kubernetes, validate):
    for document in rendered(scenario):
        validate(document, kubernetes)


def by_name(documents):
    found = {(one["kind"], one["metadata"]["name"]): one for one in documents}
    assert len(found) == len(documents)
    return found


def test_a_kubernetes_that_is_too_old_is_refused(helm, refused):
    with pytest.raises(refused, match=r"requires kubeVersion: >=1\.27"):
        helm.template("--kube-version", "1.26.15")


def test_the_runs_of_a_scenario_are_specs_that_arrive_as_they_were_written(
    render, scenario, scenario_values
):
    values = scenario_values(scenario)
    written = values.get("runs", {})
    if not written:
        return
    files = render.one("ConfigMap", values, suffix="-runs")["data"]

    for name, spec in written.items():
        assert json.loads(files[f"{name}.json"]) == {"name": name, **spec}
        assert load(files[f"{name}.json"]).name == name


def test_the_notes_of_a_scenario_tell_the_next_three_commands(render, scenario, scenario_values):
    notes = render.texts(scenario_values(scenario))["NOTES.txt"]

    commands = [line.strip() for line in notes.splitlines() if line.startswith("  ")]
    assert len(commands) == 3
    assert all(each.startswith(("kubectl --namespace ml", "rheostat -n ml")) for each in commands)
    assert "\n\n\n" not in notes


def test_installing_prints_the_notes(helms, chart):
    install = helms["4.3.1"]  # Helm 3 asks a cluster even for this
    printed = install("install", "demo", chart, "--dry-run=client", "--namespace", "ml")

    assert "rollout status statefulset/demo-rheostat" in printed


def test_a_package_holds_what_templates_read_and_no_scenarios(helm, chart, tmp_path):
    helm("package", chart, "--destination", tmp_path)

    with tarfile.open(tmp_path / "rheostat-0.1.0.tgz") as package:
        names = set(package.getnames())
    wanted = {
        path for kind in ("files", "dashboards", "rules") for path in chart.glob(f"{kind}/*.*")
    }
    assert {f"rheostat/{path.relative_to(chart)}" for path in wanted} <= names
    assert not [name for name in names if name.startswith("rheostat/ci")]


def test_these_tests_would_notice_a_duplicate_key(helm, copy_of_chart):
    (copy_of_chart / "templates/bad.yaml").write_text("kind: A\nmetadata: {name: a, name: b}\n")

    with pytest.raises(yaml.YAMLError, match="duplicate key"):
        helm.template(chart=copy_of_chart)


def test_these_tests_would_notice_an_unknown_field(validate, kubernetes_schemas):
    service = {"apiVersion": "v1", "kind": "Service", "spec": {"portz": []}}

    with pytest.raises(kubernetes_schemas.ValidationError, match="portz"):
        validate(service, "1.30")


def test_these_tests_would_notice_an_unknown_kind(validate, kubernetes_schemas):
    with pytest.raises(kubernetes_schemas.SchemaNotFoundError):
        validate({"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget"}, "1.30")


def test_every_scenario_is_in_the_readme(chart, scenario):
    assert f"| `{scenario}` |" in (chart / "README.md").read_text()
