"""The documentation: Markdown pages, with the reference drawn from the docstrings of the installed perfkit."""

import sys

from perfkit._version import __version__

project = "perfkit"
author = "The perfkit developers"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
default_role = "py:obj"  # `StateFile` in a docstring is a reference
nitpick_ignore_regex = [
    ("py:.*", rf"({'|'.join(sys.stdlib_module_names)})(\..*)?"),  # documented elsewhere; the build asks no other site
    ("py:.*", r"perfkit\._base\..*"),  # private
    ("py:class", r"perfkit\.pooling\.((aio_)?lease|smtp_lent)\..*"),  # what connection() returns is for a `with` alone
    ("py:class", r"(perfkit\.sqlite\.(aio|thread)_\w+\.)?(Async)?(Transaction|Stream)"),  # told of in the reference
    ("py:class", r"aiosqlite\..*"),
    ("py:class", r"(perfkit\..*\.)?[A-Z](\.k?w?args)?"),  # a type variable
    (
        "py:class",
        "Ttl|Seconds|Cause|Cached|Decorator|Errors|On|State|Auth|Mail|Recipients|Level|Durability|Migration|RowFactory",
    ),  # these exist for type checkers alone
]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True  # a name is told as readers import it, not by the file it lives in
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"perfkit {version}"
html_show_copyright = False
