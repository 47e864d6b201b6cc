# ruff: noqa: INP001
"""How Sphinx builds these pages: ``make docs``."""

from __future__ import annotations

from importlib.metadata import version as installed
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "capsule-analytics"
author = "the capsule-analytics contributors"
release = installed("capsule-analytics")
version = release

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

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
linkcheck_retries = 3

html_theme = "furo"
html_title = "capsule-analytics"
html_show_sphinx = False
html_show_copyright = False


def setup(app: Sphinx) -> None:
    """Let module docstrings have an Examples section like those of functions."""
    app.connect("autodoc-process-docstring", _examples_of_modules)


def _examples_of_modules(  # noqa: PLR0917 - what Sphinx passes
    app: Sphinx,  # noqa: ARG001 - Sphinx passes all of these
    what: str,
    name: str,  # noqa: ARG001
    obj: object,  # noqa: ARG001
    options: object,  # noqa: ARG001
    lines: list[str],
) -> None:
    if what == "module" and "Examples" in lines:
        at = lines.index("Examples")
        lines[at : at + 2] = [".. rubric:: Examples", ""]
