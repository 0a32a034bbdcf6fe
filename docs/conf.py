"""How the pages are built."""

import logging
import sys
from importlib.metadata import version as installed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "asap-proto"
author = "The asap-proto authors"
copyright = author
release = installed("asap-proto")
version = ".".join(release.split(".")[:2])

# To list every class and method beside each page doubles the time of a build; headings are listed.
toc_object_entries = False

extensions = ["myst_parser", "sphinx.ext.autodoc", "docstrings", "generated"]
exclude_patterns = ["_build", "changes", "published"]

html_theme = "furo"
html_extra_path = ["published"]  # as it is: schemas/VERSION/NOUN.schema.json
html_title = f"{project} {release}"

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": True}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True

# Names such as Agent are a noun's and a front's; in signatures nothing tells them apart.
suppress_warnings = ["ref.python"]

# A shelf of the index may still be empty; Sphinx gives this warning no type to suppress it by.
logging.getLogger("sphinx.sphinx.directives.other").addFilter(lambda record: "glob pattern" not in record.msg)
