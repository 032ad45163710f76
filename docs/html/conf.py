"""The settings of Sphinx for the pages of `appliance docs` (installer/bundle/pages.py)."""

import functools
import os
from pathlib import Path

import furo
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.search.en import SearchEnglish

project = "appliance"
html_title = f"appliance {os.environ['APPLIANCE_VERSION']}"
extensions = ["myst_parser"]
myst_heading_anchors = 6
suppress_warnings = ["misc.highlighting_failure"]
nitpicky = True
html_theme = "furo"
templates_path = ["templates"]
html_copy_source = True
html_show_sourcelink = False
html_use_index = False
CHECKOUT = Path(os.environ["APPLIANCE_CHECKOUT"])
# Two fifths of the time: templates/sidebar/navigation.html shows its own tree, pages share words.
furo._compute_navigation_tree = lambda context: ""
SearchEnglish.stem = functools.cache(SearchEnglish.stem)


def plain(app, doctree):
    """Links to other hosts, and to files of the source that are no pages, become text."""
    here = (CHECKOUT / app.env.docname).parent
    for link in list(doctree.findall(nodes.reference)):
        if "://" in link.get("refuri", ""):
            link.replace_self([*link.children, nodes.Text(f" ({link['refuri']})")])
    for link in list(doctree.findall(pending_xref)):
        target = link["reftarget"].partition("#")[0]
        if not link["refdomain"] and target and (here / target).exists():
            link.replace_self(link.children)


def setup(app):
    """Called by Sphinx."""
    app.connect("doctree-read", plain)
