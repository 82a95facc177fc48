"""HTML pages that need no other file: Jinja2 templates with the style and all pictures inside.

Every value is escaped. A template extends `base.html.j2` and draws figures and tables with the macros of
`parts.html.j2`.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_FOLDER = Path(__file__).parent
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def render_page(template: str, title: str, **values: Any) -> str:
    """Render a template of this folder. `values` are what its blocks name."""
    style = (_FOLDER / "style.css").read_text(encoding="utf-8")
    return _ENVIRONMENT.get_template(template).render(title=title, style=style, **values)


def embed_figure(figure: Figure, dots_per_inch: int = 110) -> str:
    """Draw a figure as a data URL."""
    FigureCanvasAgg(figure)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=dots_per_inch)
    return embed_picture(png.getvalue(), "png")


def embed_picture(content: bytes, kind: str) -> str:
    """Turn the content of a picture file into a data URL. `kind` is png, jpeg or webp."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
