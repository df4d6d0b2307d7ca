from rheostat.cluster.declaration import Wish
from rheostat.cluster.reported import Status
from rheostat.cluster.resources import TrainingRun
from rheostat.steering.records import Verb


def document(**changes):
    metadata = {
        "name": "digits",
        "namespace": "ml",
        "uid": "u",
        "generation": 3,
        "resourceVersion": "7",
        **changes.pop("metadata", {}),
    }
    return {"metadata": metadata, "spec": {"run": {"train": {"steps": 1}}}, **changes}


def managed(*entries):
    fields = [
        {"manager": manager, "time": time, "fieldsV1": {part: {}}}
        for manager, time, part in entries
    ]
    return document(metadata={"managedFields": fields})


def test_a_resource_is_read_into_its_parts():
    resource = TrainingRun.read(
        {**document(), "spec": {"run": {"train": {}}, "learningRate": {"scale": 0.5}}}
    )

    assert (resource.name, resource.generation, resource.is_deleting) == ("digits", 3, False)
    assert resource.declaration.learning_rate.wish_for("any") == Wish(Verb.SCALE, 0.5)


def test_a_run_is_called_as_its_resource_unless_it_has_a_name():
    named = {**document(), "spec": {"run": {"name": "other"}}}

    assert TrainingRun.read(document()).run["name"] == "digits"
    assert TrainingRun.read(named).run["name"] == "other"


def test_the_newest_manager_of_the_spec_is_the_principal():
    resource = TrainingRun.read(
        managed(
            ("argocd", "2026-01-01T00:00:00Z", "f:spec"),
            ("kubectl-patch", "2026-01-02T00:00:00Z", "f:spec"),
            ("rheostat", "2026-01-03T00:00:00Z", "f:status"),
        )
    )

    assert resource.principal == "kubernetes:kubectl-patch"


def test_of_managers_in_one_second_the_later_named_is_the_principal():
    same = "2026-01-01T00:00:00Z"

    resource = TrainingRun.read(managed(("first", same, "f:spec"), ("second", same, "f:spec")))

    assert resource.principal == "kubernetes:second"


def test_where_no_manager_is_known_it_was_kubernetes():
    assert TrainingRun.read(document()).principal == "kubernetes"


def test_a_malformed_declaration_is_kept_as_a_mistake_with_its_path():
    spec = {"run": {}, "learningRate": {"scale": 1, "hold": 1}}

    resource = TrainingRun.read({**document(), "spec": spec})

    assert resource.declaration is None
    assert resource.mistake.startswith("spec.learningRate: ")


def test_a_status_that_another_version_wrote_otherwise_counts_for_nothing():
    strange = {**document(), "status": {"phase": "dreaming"}}

    assert TrainingRun.read(strange).status == Status()
