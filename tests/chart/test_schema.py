"""The schema of the values: closed, and deaf to strings that YAML would read as something else."""

import pytest

OPAQUE = {
    *("Container", "KubernetesObject", "RuleGroup", "object", "spec"),
    "global",  # a parent chart puts its own there
}
"""Schemas that let unknown keys pass, since somebody else checks them."""
INJECTIONS = ['"', "a: b\nc: d", "x\n---\nkind: Pod", "- a", "{{ .Release.Name }}", "a #b", "\x07"]
LEFT_OUT = {
    "PodSecurityContext": {"windowsOptions"},
    "SecurityContext": {"windowsOptions"},
}
"""Fields of Kubernetes that ours do not have: these containers are Linux."""
RENAMED = {
    "EnvSource": "SecretEnvSource",
    "KeySelector": "SecretKeySelector",
    "Profile": "SeccompProfile",
}


def subschemas(schema, where="#"):
    yield where, schema
    for word in ("properties", "definitions"):
        for name, inner in schema.get(word, {}).items():
            yield from subschemas(inner, f"{where}/{word}/{name}")
    for word in ("items", "additionalProperties", "propertyNames"):
        if isinstance(schema.get(word), dict):
            yield from subschemas(schema[word], f"{where}/{word}")
    for index, inner in enumerate(schema.get("oneOf", ())):
        yield from subschemas(inner, f"{where}/oneOf/{index}")


def leaves(values, path=()):
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from leaves(value, (*path, key))
    else:
        yield path, values


def maps(values, path=()):
    if isinstance(values, dict):
        yield path
        for key, value in values.items():
            yield from maps(value, (*path, key))


def value_at(values, path):
    for key in path:
        values = values[key]
    return values


def nested(path, value):
    for key in reversed(path):
        value = {key: value}
    return value


def schema_at(schema, path):
    found = resolved(schema, schema)
    for key in path:
        found = found.get("properties", {}).get(key) or found["additionalProperties"]
        found = resolved(schema, found)
    return found


def resolved(schema, found):
    while "$ref" in found:
        found = schema["definitions"][found["$ref"].rpartition("/")[2]]
    return found


def test_no_map_admits_keys_that_nobody_knows(schema):
    for where, each in subschemas(schema):
        if each.get("type") == "object" and where.rpartition("/")[2] not in OPAQUE:
            extra = each["additionalProperties"]
            assert extra is False or "propertyNames" in each, where


def test_every_string_has_a_pattern(schema):
    for where, each in subschemas(schema):
        if each.get("type") == "string":
            assert "pattern" in each or "enum" in each, where


def test_no_pattern_ends_early(schema):
    for where, each in subschemas(schema):
        if "pattern" in each:
            assert each["pattern"].startswith("^"), where
            assert each["pattern"].endswith("$"), where


def test_every_default_has_its_place_in_the_schema(schema, defaults):
    for path, _ in leaves(defaults):
        assert schema_at(schema, path), path


def test_every_key_of_the_schema_has_a_default(schema, defaults):
    for path in maps(defaults):
        section = schema_at(schema, path)
        if "required" in section:
            known = section["properties"].keys() - {"enabled"} if not path else section["required"]
            assert set(known) == set(section["required"]) == value_at(defaults, path).keys(), path


def test_an_unknown_key_is_refused_wherever_it_stands(render, refused, defaults):
    free = ("runs", "labels", "annotations", "Labels", "Annotations", "nodeSelector", "global")
    for path in maps(defaults):
        if not path or not path[-1].endswith(free):
            with pytest.raises(refused, match=r"(additional properties|propertyName) 'bogus'"):
                render(nested((*path, "bogus"), "x"))


def test_both_helms_refuse_unknown_keys(helm, refused):
    with pytest.raises(refused, match="bogus"):
        helm.template("--set=image.bogus=1")


def test_strings_that_would_break_the_yaml_are_refused(render, refused, schema, defaults):
    tried = 0
    for path, default in leaves(defaults):
        if not isinstance(default, str) or path == ("data", "subPath"):
            continue
        for injection in INJECTIONS:
            tried += 1
            with pytest.raises(refused, match=r"does not match pattern|must be one of"):
                render(nested(path, injection))
    assert tried > 300


def test_free_texts_arrive_as_they_are(render):
    texts = ["'", *INJECTIONS[:-1], "null", "1e3", "ü\u2028", "|"]
    annotations = {f"example.com/{index}": text for index, text in enumerate(texts)}
    values = {"commonAnnotations": annotations, "data": {"kind": "emptyDir", "subPath": texts[2]}}

    assert render.one("Service", values)["metadata"]["annotations"] == annotations
    assert render.daemon(values)["volumeMounts"][2]["subPath"] == texts[2]


def test_names_that_yaml_takes_for_something_else_stay_names(render):
    for name in ("null", "true", "no", "1e3", "0x10", "12"):
        values = {
            "priorityClassName": name,
            "state": {"kind": "existingClaim", "existingClaim": name},
            "podLabels": {"example.com/name": name},
        }
        pod = render.pod(values)
        assert pod["priorityClassName"] == name
        assert pod["volumes"][0]["persistentVolumeClaim"]["claimName"] == name


def test_large_numbers_stay_whole(render):
    values = {
        "daemon": {"drainSeconds": 80000},
        "terminationGracePeriodSeconds": 1000000,
        "podSecurityContext": {"runAsUser": 2000000000},
        "runs": {"long": {"train": {"steps": 10000000}}},
    }
    pod = render.pod(values)

    assert pod["terminationGracePeriodSeconds"] == 1000000
    assert pod["securityContext"]["runAsUser"] == 2000000000
    assert "--drain-seconds=80000" in pod["containers"][0]["args"]
    assert '"steps": 10000000' in render.one("ConfigMap", values)["data"]["long.json"]


def test_a_section_that_is_set_to_null_is_refused(helm, refused, defaults):
    for section, value in defaults.items():
        if isinstance(value, dict) and value:
            with pytest.raises(
                refused, match=rf"missing property '{section}'|{section} is required"
            ):
                helm.template("--set-json", f"{section}=null")


def test_types_of_kubernetes_have_all_its_fields(schema, kubernetes_types):
    compared = 0
    for name, ours in schema["definitions"].items():
        theirs = kubernetes_types.get(RENAMED.get(name, name))
        if theirs and name not in OPAQUE:
            compared += 1
            ours = set(ours["properties"]) | set(ours.get("propertyNames", {}).get("enum", ()))
            assert ours == set(theirs["properties"]) - LEFT_OUT.get(name, set()), name
    assert compared > 30
