"""Claims, volumes and what is kept."""

import pytest


def volume(pod, name):
    (found,) = [one for one in pod["volumes"] if one["name"] == name]
    return found


def test_by_default_state_is_on_a_claim_that_outlives_the_release(render):
    claim = render.one("PersistentVolumeClaim")

    assert claim["metadata"]["name"] == "demo-rheostat-state"
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert "storageClassName" not in claim["spec"]
    assert volume(render.pod(), "state")["persistentVolumeClaim"] == {
        "claimName": "demo-rheostat-state"
    }


def test_a_claim_need_not_be_kept(render):
    claim = render.one("PersistentVolumeClaim", {"state": {"keep": False}})

    assert "annotations" not in claim["metadata"]


@pytest.mark.parametrize(("given", "meant"), [("fast", "fast"), ("-", "")])
def test_a_storage_class_may_be_named_or_switched_off(render, given, meant):
    claim = render.one("PersistentVolumeClaim", {"state": {"storageClassName": given}})

    assert claim["spec"]["storageClassName"] == meant


def test_state_may_end_with_the_pod(render):
    pod = render.pod({"state": {"kind": "emptyDir", "size": "1Gi"}})

    assert volume(pod, "state")["emptyDir"] == {"sizeLimit": "1Gi"}
    assert not [one for one in render({"state": {"kind": "emptyDir"}}) if "Claim" in one["kind"]]


def test_data_may_be_any_volume_and_is_read_only(render):
    source = {"nfs": {"server": "files", "path": "/sets"}}
    pod = render.pod({"data": {"kind": "volume", "volume": source, "subPath": "mnist"}})

    assert volume(pod, "data") == {"name": "data", **source}
    assert pod["containers"][0]["volumeMounts"][2] == {
        "name": "data",
        "mountPath": "/data",
        "readOnly": True,
        "subPath": "mnist",
    }


def test_without_data_nothing_is_mounted_there(render):
    assert "/data" not in [mount["mountPath"] for mount in render.daemon()["volumeMounts"]]


def test_shared_memory_has_room_unless_switched_off(render):
    assert volume(render.pod(), "shm")["emptyDir"] == {"medium": "Memory", "sizeLimit": "2Gi"}
    names = [one["name"] for one in render.pod({"shm": {"enabled": False}})["volumes"]]
    assert names == ["state", "tmp"]


def test_all_volume_names_of_the_chart_are_guarded(render, refused):
    values = {
        "data": {"kind": "emptyDir"},
        "runsConfigMap": "specs",
        "tls": {"existingSecret": "certificate"},
        "auth": {"clientCA": {"sameAsServer": True}, "tokens": {"existingSecret": "tokens"}},
    }

    for taken in render.pod(values)["volumes"]:
        with pytest.raises(refused, match="has a volume"):
            render({**values, "extraVolumes": [{"name": taken["name"], "emptyDir": {}}]})
