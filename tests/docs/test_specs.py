"""Every YAML block that is a spec, or some sections of one, is one that can be run."""

import pytest
from tests.docs.reading import read
from tests.docs.test_pages import PAGES, name_of

from rheostat.spec.loading import read_document
from rheostat.spec.models import Spec
from rheostat.spec.validation import parse

SECTIONS = set(Spec.model_fields)


def specs():
    for file in PAGES:
        for block in read(file.read_text()).blocks:
            if block.language != "yaml" or "\n---" in block.text:
                continue
            document = read_document(block.text, name_of(file))
            if set(document) <= SECTIONS:
                yield pytest.param(document, id=f"{name_of(file)}:{block.line}")


@pytest.mark.parametrize("document", list(specs()))
def test_a_spec_in_a_page_is_valid(document):
    _spec, violations = parse({"train": {"steps": 10000}, **document})
    # Files that a reader has made by then.
    assert [one for one in violations if "No such file" not in one.expected] == []
