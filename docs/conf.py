"""
How the documentation is built: C{sphinx-build -W docs docs/_build}.
"""

from pathlib import Path

from txhixie import __version__

project = "txhixie"
author = "the txhixie developers"
project_copyright = "the txhixie developers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.intersphinx", "pydoctor.sphinx_ext.build_apidocs"]
exclude_patterns = ["_build"]

html_theme = "furo"
html_title = f"txhixie {version}"
html_theme_options = {"source_edit_link": None}

myst_enable_extensions = ["colon_fence"]
# Links to a heading of a page, as GitHub makes them.
myst_heading_anchors = 4

# The API reference is made by pydoctor, which reads our docstrings. It replaces api/index.
_root = Path(__file__).parent.parent
pydoctor_args = [
    f"--config={_root / 'pyproject.toml'}",
    f"--project-base-dir={_root}",
    f"--add-package={_root / 'txhixie'}",
    f"--project-version={version}",
    "--html-output={outdir}/api",
]
pydoctor_url_path = "/en/{rtd_version}/api/"
intersphinx_mapping: dict[str, tuple[str, str | None]] = {}
