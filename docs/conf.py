"""Sphinx configuration: `python -m sphinx -W --keep-going -b html docs docs/_build/html`."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.fileutil import copy_asset
from sphinx_gallery.sorting import ExplicitOrder

import skmaxent

HERE = Path(__file__).parent

project = "skmaxent"
author = "The skmaxent developers"
copyright = author
version = release = skmaxent.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
# `guides` is what `guides_built` is made from; README is for the folder on its own.
exclude_patterns = ["_build", "guides", "figures", "**/README.md"]
templates_path = ["_templates"]
default_role = "literal"  # docstrings write names of parameters between single backticks
nitpicky = False

# Pages
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
myst_dmath_double_inline = True

# API
autosummary_generate = True
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # numpydoc sections have the types
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
# Objects that functions return: nobody calls their constructors.
RETURNED = {
    "skmaxent.ConformalSets",
    "skmaxent.DataGrid",
    "skmaxent.InferenceResults",
    "skmaxent.LeaveOneOutScores",
    "skmaxent.MaxentPath",
    "skmaxent.ModelComparison",
    "skmaxent.Separation",
}

# Gallery: every script is executed
sphinx_gallery_conf = {
    "examples_dirs": ["../examples/gallery", "guides"],
    "gallery_dirs": ["gallery", "guides_built"],
    "filename_pattern": r"\.py$",
    "subsection_order": ExplicitOrder(
        f"../examples/gallery/{section}"
        for section in ("tables", "text", "images", "labels", "statistics", "large_data")
    ),
    "within_subsection_order": "FileNameSortKey",
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    # "Examples using" at the end of API pages, and links from code to them.
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skmaxent",),
    "reference_url": {"skmaxent": None},
    "image_scrapers": ("matplotlib",),
    "matplotlib_animations": False,
    "plot_gallery": True,
    # Tables at the end of a block are shown; reprs of matplotlib's objects are not.
    "capture_repr": ("_repr_html_",),
    "abort_on_example_error": False,
    "min_reported_time": 1e9,
    # Figures at twice the pixels for sharp text.
    "image_srcset": ["2x"],
}

# Look; nothing comes from another server.
html_theme = "pydata_sphinx_theme"
html_title = "skmaxent"
html_static_path = ["_static"]
html_css_files = ["skmaxent.css"]
html_js_files = ["skmaxent.js"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "navigation_with_keys": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "github-dark-high-contrast",
}
# Pages of the first level have no others beside them.
FIRST_LEVEL = ("index", "guides_built/getting_started", "guides_built/softmax", "changelog", "faq")
html_sidebars: dict[str, list[str]] = {page: [] for page in FIRST_LEVEL}

# MathJax and its fonts from an installed package instead of a content delivery network.
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {"options": {"enableMenu": False}}


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """The one script and its fonts, of the twenty megabytes that there are."""
    if error is not None or app.builder.format != "html":
        return
    package = import_module("sphinx-mathjax-offline").__file__
    source = Path(str(package)).parent / "static" / "mathjax"
    target = Path(app.outdir) / "_static" / "mathjax"
    for part in ("tex-chtml.js", "output/chtml/fonts/woff-v2"):
        place = target / part if (source / part).is_dir() else (target / part).parent
        place.mkdir(parents=True, exist_ok=True)
        copy_asset(str(source / part), str(place))


def skip_foreign(
    app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out members whose documentation is scikit-learn's, but for the two that all know."""
    if name in {"get_params", "set_params"}:
        return None
    module = getattr(member, "__module__", None)
    if inspect.isroutine(member) and module and not module.startswith("skmaxent"):
        return True
    return None


def set_formulas(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Indented formulas of docstrings as literal blocks, bars elsewhere as bars."""
    inside, found = False, []
    for before, line in zip(["", *lines], lines, strict=False):
        starts = not before and line.startswith("    ") and "Σ" in line and not inside
        if starts:
            found += ["::", ""]
        inside = starts or (inside and (not line or line.startswith("    ")))
        is_plain = not inside and "``" not in line
        found.append(re.sub(r"\|(?=\S)", r"\\|", line) if is_plain else line)
    lines[:] = found


def hide_constructor(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: Any, returns: Any
) -> tuple[str, None] | None:
    return ("", None) if what == "class" and name in RETURNED else None


def close_up_japanese(app: Sphinx, doctree: nodes.document) -> None:
    """Remove line breaks and spaces, which the markup needs, beside Japanese punctuation."""
    for text in list(doctree.findall(nodes.Text)):
        closed = re.sub("(?<=[、。])[ \n]+|[ \n]+(?=[、。])", "", text)
        if closed != text:
            text.parent.replace(text, nodes.Text(closed))


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", close_up_japanese)
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("autodoc-process-docstring", set_formulas, priority=900)
    app.connect("autodoc-process-signature", hide_constructor)
    app.connect("build-finished", copy_mathjax)
