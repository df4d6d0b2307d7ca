"""How Sphinx makes the site of these pages: `make docs`.

The pages are plain Markdown, to be read on a forge as they are. What only a site needs is here and
not in them: the order of the pages, and what becomes of a link to a folder or page that it has not.
"""

import tomllib
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

DOCS = Path(__file__).parent

project = "Rheostat"
author = "the authors of Rheostat"
release = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["project"]["version"]

extensions = ["myst_parser"]
myst_heading_anchors = 4
html_theme = "furo"
html_title = f"Rheostat {release}"
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
# A block with a line that is left out (`...`) is shown without colours, which is no mistake.
suppress_warnings = ["misc.highlighting_failure"]

CONTENTS = {
    "Begin": ["quickstart", "concepts", "comparison", "limits"],
    "How to": [
        "how-to/steer-from-the-cli",
        "how-to/steer-from-a-script",
        "how-to/steer-over-grpc",
        "how-to/steer-with-kubectl",
        "attach",
        "page",
        "how-to/write-a-policy",
        "how-to/write-a-remote-policy",
        "how-to/fine-tune",
        "how-to/migrate-a-schedule",
        "agents",
        "plugins",
    ],
    "Guides": [
        "param-groups",
        "policies",
        "learned-policies",
        "probes",
        "distributed",
        "checkpoints",
        "data",
        "performance",
    ],
    "Operate": ["security", "image", "helm", "kubernetes", "metrics", "observability", "runbook"],
    "Reference": [
        "spec",
        "schedules",
        "reference/policies",
        "reference/cli",
        "reference/grpc",
        "architecture",
        "decisions",
    ],
}
"""The order of the site. A page that has no place here stands at its end, below `More`."""


def add_contents(app: Sphinx, page: str, source: list[str]) -> None:
    """Put the order of the pages below the first one, which names them in sentences."""
    if page != "index":
        return
    placed = {"index", *(one for pages in CONTENTS.values() for one in pages)}
    contents = {**CONTENTS, "More": sorted(app.env.found_docs - placed)}
    trees = (
        f"```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(pages) + "\n```\n"
        for caption, pages in contents.items()
        if pages
    )
    source[0] += "\n" + "\n".join(trees)


class LinksOutside(SphinxPostTransform):
    """Show links to folders and pages outside docs/ as text: the forge has them, the site has not.

    A link to any other file is a download, and one to what does not exist is left to MyST, which
    warns of it.
    """

    default_priority = 8  # before MyST's own, at 9

    def run(self, **kwargs: object) -> None:
        """Look at the links of one page."""
        page = Path(self.env.doc2path(self.env.docname))
        for link in list(self.document.findall(pending_xref)):
            target = page.parent / link["reftarget"]  # absolute, where it is a page outside
            is_outside = link["reftarget"].startswith(("/", "../"))
            if is_outside and (target.is_dir() or target.with_suffix(".md").is_file()):
                link.replace_self(nodes.inline("", "", *link.children))


def setup(app: Sphinx) -> None:
    """Add what is above to a build."""
    app.connect("source-read", add_contents)
    app.add_post_transform(LinksOutside)
