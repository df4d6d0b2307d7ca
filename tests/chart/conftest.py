"""What the tests of the chart share: both lines of Helm, as commands and in this process."""

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ruamel.yaml import YAML

CHECKOUT = Path(__file__).parents[2]
CHART = CHECKOUT / "helm/rheostat"
SCENARIOS = sorted(path.name.removesuffix("-values.yaml") for path in CHART.glob("ci/*.yaml"))
KUBERNETES = [f"1.{minor}" for minor in range(27, 38)]
HELMS = ("4.3.1", "3.17.2")


class StrictLoader(yaml.CSafeLoader):
    """YAML 1.1, which Kubernetes reads, without the last of two equal keys winning silently."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if len(set(keys)) < len(keys):
            raise yaml.constructor.ConstructorError(None, None, "duplicate key", node.start_mark)
        return super().construct_mapping(node, deep)


@functools.lru_cache(maxsize=1000)
def parse(text):
    """Return the documents of a text, without the empty ones."""
    return [document for document in yaml.load_all(text, StrictLoader) if document]


class Helm:
    """A helm command."""

    def __init__(self, binary, home):
        self._binary = binary
        homes = {f"HELM_{kind}_HOME": str(home / kind) for kind in ("CACHE", "CONFIG", "DATA")}
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(home), **homes}

    def __call__(self, *arguments):
        """Return what a command prints, or what it complains about."""
        done = subprocess.run(
            [self._binary, *map(str, arguments)],
            env=self._environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise Refused(done.stdout + done.stderr)
        return done.stdout

    def template(self, *arguments, chart=CHART):
        """Return the documents of a release `demo` in namespace `ml`."""
        return parse(self("template", "demo", chart, "--namespace", "ml", *arguments))


class Refused(Exception):
    """Helm did not do it."""


def pytest_generate_tests(metafunc):
    """A test of `scenario` gets each file of ci/, one of `kubernetes` each version we support."""
    for name, values in (("scenario", SCENARIOS), ("kubernetes", KUBERNETES)):
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, values)


@pytest.fixture(scope="session")
def helms(tmp_path_factory):
    """Both lines of Helm, by version."""
    part = CHECKOUT / "tools/parts/helm.py"
    done = subprocess.run([sys.executable, part], capture_output=True, text=True)
    if done.returncode == os.EX_UNAVAILABLE:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    home = tmp_path_factory.mktemp("helm")
    by_version = zip(HELMS, done.stdout.split(), strict=True)
    return {version: Helm(binary, home) for version, binary in by_version}


@pytest.fixture(params=HELMS)
def helm(request, helms):
    """Each line of Helm in turn."""
    return helms[request.param]


class Renderer:
    """Helm's engine in this process, at the defaults of a release `demo` in namespace `ml`."""

    def __init__(self, folder):
        self._helm = pytest.importorskip("helm_python", exc_type=ImportError)
        self._chart = self._helm.Chart.load(folder)

    def texts(self, values=None, *, name="demo"):
        """Return what each template becomes, by the template's path.

        Raises:
            Refused: if the schema or the chart does not want these values.
        """
        values = values or {}
        try:
            self._chart.validate_schema(values)
            found = self._chart.render(values, name=name, namespace="ml")
        except self._helm.HelmError as error:
            raise Refused(str(error)) from error
        return {path.removeprefix("rheostat/templates/"): text for path, text in found.items()}

    def __call__(self, values=None, **options):
        """Return all objects."""
        texts = self.texts(values, **options)
        return [
            document
            for path, text in texts.items()
            if path.endswith(".yaml")
            for document in parse(text)
        ]

    def one(self, kind, values=None, suffix="", **options):
        """Return the one object of a kind, whose name ends thus."""
        (found,) = [
            document
            for document in self(values, **options)
            if document["kind"] == kind and document["metadata"]["name"].endswith(suffix)
        ]
        return found

    def pod(self, values=None, **options):
        """Return the pod spec of the daemon."""
        return self.one("StatefulSet", values, **options)["spec"]["template"]["spec"]

    def daemon(self, values=None, **options):
        """Return the container of the daemon."""
        return self.pod(values, **options)["containers"][0]


@pytest.fixture(scope="session")
def chart():
    """The folder of the chart."""
    return CHART


@pytest.fixture(scope="session")
def refused():
    """What is raised where Helm refuses values or a cluster."""
    return Refused


@pytest.fixture(scope="session")
def render():
    """Render the chart as it is."""
    return Renderer(CHART)


@pytest.fixture
def copy_of_chart(tmp_path):
    """A copy that a test may change."""
    copy = tmp_path / "rheostat"
    shutil.copytree(CHART, copy)
    return copy


@pytest.fixture(scope="session")
def scenario_values():
    """Return the values of a scenario, with 1e-3 as a number, as Helm reads it."""
    reader = YAML(typ="safe", pure=True)
    return lambda name: reader.load(CHART / f"ci/{name}-values.yaml") or {}


@pytest.fixture(scope="session")
def schema():
    """The schema of the values."""
    return json.loads((CHART / "values.schema.json").read_text())


@pytest.fixture(scope="session")
def defaults():
    """The values of the chart."""
    return YAML(typ="safe", pure=True).load(CHART / "values.yaml")


@pytest.fixture(scope="session")
def kubernetes_schemas():
    """The package of the schemas of Kubernetes, taught not to read a megabyte for each object."""
    schemas = pytest.importorskip("kubernetes_validate", exc_type=ImportError)
    schemas.utils.schema_contents = functools.cache(schemas.utils.schema_contents)
    return schemas


@pytest.fixture(scope="session")
def validate(kubernetes_schemas):
    """Check an object against the strict schemas of a Kubernetes version, or those of the CRDs."""
    jsonschema = kubernetes_schemas.utils.jsonschema
    custom = json.loads((Path(__file__).parent / "custom_resources.json").read_text())

    def check(document, version):
        kind = f"{document['apiVersion']} {document['kind']}"
        if kind in custom["properties"]:
            jsonschema.validate({kind: document}, custom)
        else:
            kubernetes_schemas.validate(document, version, strict=True)

    return check


@pytest.fixture(scope="session")
def kubernetes_types(kubernetes_schemas):
    """The types of the newest Kubernetes by their names; where two share one, that of the core."""
    newest = kubernetes_schemas.utils.all_versions()[-1]
    file = f"kubernetes-json-schema/v{newest}-local-strict/_definitions.json"
    types = kubernetes_schemas.utils.schema_contents(file, newest)["$defs"]
    core_last = sorted(types, key=lambda name: name.startswith("io.k8s.api.core."))
    return {name.rpartition(".")[2]: types[name] for name in core_last}
