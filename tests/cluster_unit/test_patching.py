from hypothesis import given
from hypothesis import strategies as st

from rheostat.cluster.patching import merge_patch

VALUES = st.recursive(
    st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.text(max_size=2), VALUES, max_size=4)


def applied(document, patch):
    """Apply a patch as RFC 7396 says."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = applied(result.get(key), value)
    return result


@given(DOCUMENTS, DOCUMENTS)
def test_a_patch_turns_the_old_document_into_the_new_one(old, new):
    assert applied(old, merge_patch(old, new)) == new


@given(DOCUMENTS)
def test_nothing_is_patched_where_nothing_has_changed(document):
    assert merge_patch(document, document) == {}


def test_a_patch_names_only_what_has_changed():
    old = {"phase": "running", "step": 1, "learningRate": {"body": 0.1, "head": 0.2}, "drift": {}}
    new = {"phase": "running", "step": 2, "learningRate": {"body": 0.1, "head": 0.3}}

    assert merge_patch(old, new) == {"step": 2, "learningRate": {"head": 0.3}, "drift": None}
