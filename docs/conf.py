# ruff: noqa: INP001
"""How Sphinx builds these pages: ``make docs``."""

from __future__ import annotations

import re
from importlib.metadata import version as installed
from typing import TYPE_CHECKING

from sphinx.addnodes import pending_xref

if TYPE_CHECKING:
    from docutils.nodes import document
    from sphinx.application import Sphinx

project = "capsule-analytics"
author = "the capsule-analytics contributors"
release = installed("capsule-analytics")
version = release

extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["_build"]

# `notebooks` is a link to where they are. They run when the pages are built, and again only when
# they change; an error in one is an error.
nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True

# A single backtick in a docstring names something of the package where it can.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autosummary_generate = False
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
python_maximum_signature_line_length = 88
myst_heading_anchors = 3

# Addresses that stand for a reader's own account.
linkcheck_ignore = [r"https://(acme|ACCOUNT)\.capsulecrm\.com"]
linkcheck_timeout = 20
linkcheck_retries = 2

html_theme = "furo"
html_title = "capsule-analytics"
html_show_sphinx = False
html_show_copyright = False


def setup(app: Sphinx) -> None:
    """Write the reference as its readers import what is in it."""
    app.connect("autodoc-process-docstring", _examples_of_modules)
    app.connect("doctree-read", _name_doors)


def _name_doors(_: Sphinx, doctree: document) -> None:
    """Name types by the wing that gives them, and not by the file in it where they are written."""
    for node in doctree.findall(pending_xref):
        node["reftarget"] = re.sub(r"\._[a-z]\w*(?=\.)", "", node.get("reftarget", ""))


def _examples_of_modules(  # noqa: PLR0917 - what Sphinx passes
    app: Sphinx,  # noqa: ARG001 - Sphinx passes all of these
    what: str,
    name: str,  # noqa: ARG001
    obj: object,  # noqa: ARG001
    options: object,  # noqa: ARG001
    lines: list[str],
) -> None:
    """Let module docstrings have an Examples section like those of functions."""
    if what == "module" and "Examples" in lines:
        at = lines.index("Examples")
        lines[at : at + 2] = [".. rubric:: Examples", ""]
