r"""LaTeX from Jinja2 templates: << value >> and <% block %>. Every value is escaped, unless it is LaTeX already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tfm.analysis.thesis.study_facts import ModelFacts
from tfm.core.escape_text import escape_latex

TEMPLATES = Path(__file__).parent / "templates"


def _escape(value: object) -> object:
    return value if isinstance(value, Markup) else escape_latex(str(value))


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES),
    undefined=StrictUndefined,
    finalize=_escape,
    block_start_string="<%",
    block_end_string="%>",
    variable_start_string="<<",
    variable_end_string=">>",
    comment_start_string="<#",
    comment_end_string="#>",
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


_CITATIONS = {"resnet": "he2016", "densenet": "huang2017", "efficientnet": "tan2019", "swin": "liu2021"}
_OPTIMIZERS = {"adamw": "AdamW", "adam": "Adam", "sgd": "SGD"}
_WEIGHTS = {"en": {"none: from scratch": "random"}, "es": {"none: from scratch": "aleatorios"}}
_REASONS_ES = {
    "a training image of a patient in the official test set": (
        "son imágenes de entrenamiento de pacientes del conjunto de prueba oficial"
    ),
    "no complete file": "no hay un fichero completo",
    "benign without callback, left out by the settings": "benignas sin revisión, excluidas por los ajustes",
    "the file could not be read": "no se pudo leer el fichero",
}
_LEARNERS = {
    "en": {"forest": "a random forest", "logistic": "a logistic regression", "boosting": "gradient-boosted trees"},
    "es": {"forest": "un bosque aleatorio", "logistic": "una regresión logística", "boosting": "árboles potenciados"},
}
_UNITS_ES = {"image": "la imagen", "breast": "la mama", "patient": "la paciente"}
_UNIT_RULES = {
    "image": {"en": "", "es": ""},
    "breast": {
        "en": "; the probability of a breast is the mean over its images",
        "es": "; la probabilidad de una mama es la media de sus imágenes",
    },
    "patient": {
        "en": "; the probability of a patient is that of the more suspicious breast",
        "es": "; la probabilidad de una paciente es la de su mama más sospechosa",
    },
}


def render_latex(template: str, **values: Any) -> str:
    return _ENVIRONMENT.get_template(template).render(values)


def render_text(template: str, **values: Any) -> str:
    """Render a template that is given as text."""
    return _ENVIRONMENT.from_string(template).render(values).strip()


def _cite(model: ModelFacts) -> Markup:
    """Cite the paper of a model's architecture, if it is a known one."""
    if model.stage == "forest":
        return Markup(r" \cite{breiman2001}")
    if model.stage == "segment":
        return Markup(r" \cite{chen2018}")
    architecture = str(model.settings.get("architecture", "")).lower()
    found = [key for name, key in _CITATIONS.items() if name in architecture]
    return Markup(rf" \cite{{{found[0]}}}" if found else "")


_ENVIRONMENT.filters["as_latex"] = Markup  # text that is LaTeX already
_ENVIRONMENT.filters["percent"] = lambda share: f"{100 * share:g}"
_ENVIRONMENT.globals |= {
    "cite": _cite,
    "optimizers": _OPTIMIZERS,
    "reasons_es": _REASONS_ES,
    "learners": _LEARNERS,
    "weights_names": _WEIGHTS,
    "units_es": _UNITS_ES,
    "unit_rules": _UNIT_RULES,
}
