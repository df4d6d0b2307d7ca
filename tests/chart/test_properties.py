"""Whatever the schema admits renders to objects that Kubernetes would take, or is refused in words.

The strategies are made from values.schema.json, so a key that is added there is tried here.
"""

from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NEWEST = "1.37"
TAKEN_AS_IT_IS = {
    "Container": st.fixed_dictionaries({"name": st.from_regex("[a-z]{1,9}", fullmatch=True)}),
    "KubernetesObject": st.just(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}}
    ),
    "RuleGroup": st.just({"name": "mine", "rules": [{"alert": "A", "expr": "up == 0"}]}),
    "Volume": st.fixed_dictionaries(
        {"name": st.from_regex("[a-z]{1,9}", fullmatch=True), "emptyDir": st.just({})}
    ),
    "VolumeSource": st.sampled_from([{}, {"emptyDir": {}}, {"hostPath": {"path": "/sets"}}]),
    "spec": st.dictionaries(st.text(), st.none() | st.booleans() | st.text() | st.floats(-9, 9)),
}
"""For what the chart hands on unread, which the schema does not describe."""


class Strategies:
    """Makes values that a schema admits; knows the words of JSON Schema that ours uses."""

    def __init__(self, schema):
        self._definitions = schema["definitions"]

    def of(self, schema, *, is_section=True):
        """Return a strategy for a schema.

        Args:
            schema: as it stands in the values' schema.
            is_section: whether a key that is left out has a default, as it has but in lists.
        """
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            if name in TAKEN_AS_IT_IS:
                return TAKEN_AS_IT_IS[name]
            is_section = is_section and name[0].islower()  # the others are types of Kubernetes
            return st.deferred(lambda: self.of(self._definitions[name], is_section=is_section))
        if "oneOf" in schema:
            return st.one_of(*(self.of(each) for each in schema["oneOf"]))
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        if schema["type"] == "object":
            return self._maps(schema, is_section)
        return getattr(self, f"_{schema['type']}s")(schema)

    def _booleans(self, schema):
        return st.booleans()

    def _integers(self, schema):
        return st.integers(schema["minimum"], schema["maximum"])

    def _numbers(self, schema):
        return st.integers(0, 10**12) | st.floats(schema["minimum"], 1e6)

    def _strings(self, schema):
        texts = st.from_regex(schema["pattern"], fullmatch=True)
        longest = schema.get("maxLength", 300)
        return texts.filter(lambda text: len(text) <= longest)

    def _arrays(self, schema):
        unique = {"unique": True} if schema.get("uniqueItems") else {}
        items = self.of(schema["items"], is_section=False)
        return st.lists(items, min_size=schema.get("minItems", 0), max_size=3, **unique)

    def _maps(self, schema, is_section):
        if "propertyNames" in schema:
            names = self.of({"type": "string", **self._resolved(schema["propertyNames"])})
            return st.dictionaries(names, self.of(schema["additionalProperties"]), max_size=3)
        each = {
            name: self.of(inner, is_section=is_section)
            for name, inner in schema.get("properties", {}).items()
        }
        needed = () if is_section else schema.get("required", ())
        return st.fixed_dictionaries({name: each.pop(name) for name in needed}, optional=each)

    def _resolved(self, schema):
        reference = schema.get("$ref")
        return self._definitions[reference.rpartition("/")[2]] if reference else schema


def test_what_the_schema_admits_renders_or_is_refused_in_words(render, refused, schema, validate):
    strategies = Strategies(schema)
    by_key = {name: strategies.of(each) for name, each in schema["properties"].items()}
    some = st.sets(st.sampled_from(sorted(by_key)), max_size=8).flatmap(
        lambda keys: st.fixed_dictionaries({key: by_key[key] for key in keys})
    )
    outcomes = Counter()

    def rendered_or_refused(values):
        try:
            return render(values), None
        except refused as told:
            return [], str(told)

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(values=some)
    def try_some(values):
        documents, reason = rendered_or_refused(values)
        outcomes["rendered" if reason is None else "refused"] += 1
        assert reason is None or "These values cannot work" in reason
        for document in documents:
            validate(document, NEWEST)

    try_some()
    assert outcomes["rendered"] > 50, outcomes
