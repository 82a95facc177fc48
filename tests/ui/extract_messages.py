"""Write the texts of the program into the catalogues of tfm/ui/locale: `python -m tests.ui.extract_messages`.

New texts get an empty translation, texts that are gone are removed, and everything else stays. `... pt` begins a
catalogue of another language.
"""

import ast
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from pathlib import Path

from tfm.core import command_list, files, registry
from tfm.core.settings.presets import CONFIGS, PROJECT
from tfm.ui.translate import EDGES, LOCALE, read_catalogue

_DOCUMENTS = (  # written into files, which have a language of their own
    "analysis/report", "analysis/thesis", "analysis/figures", "analysis/model_export", "analysis/study_report.py",
    "analysis/prediction/page.py", "data/phantom", "data/sources/csv_summary.py", "data/dataset/audit.py",
    "core/settings/document_command.py", "data/cache/duplicate_images.py",
)  # fmt: skip
_EVENTS = {"Note", "Table", "TableRow", "IntervalChart", "Picture", "Progress", "CurrentValues", "Result", "Choice",
           "Question", "Text", "Panel", "NextStep", "Finding", "spell"}  # fmt: skip
_NOT_SHOWN = {"AssertionError", "RuntimeError", "command", "compile", "dict", "execute", "filterwarnings", "fullmatch",
              "record", "search", "setting"}  # fmt: skip
_CODE = re.compile(  # words for other programs, styles, and names of columns
    r"fg:|not (bold|cyan|bri|red)|bold|import |trap |\n_|export \{|sbatch:|scancel:|.*PRAGMA|.*open_event_log|BEGIN"
    r"|INSERT|\^|\(out of|.*\n  +\w|% If|patient id|series uid|subject id|file location|image view|left or right|abn"
    r"|mass (shape|mar)|calc (type|dist)|([a-z]+ )+path$|`\w+: \{|Value error|Input should|.*does not have a det"
)
_PROSE = re.compile(
    r"[A-Za-z][-A-Za-z]*[A-Za-z][,:;.)?!]* +[A-Za-z(]|\{\d+\},? [a-z]{2,}|[a-z]{2,}:? \{\d+\}|[?/<!]:? [a-z]{3,}$"
)
_WORD = re.compile(r"[A-Za-z][a-z]+( [a-z]+)*…?")
_STATES = ("running", "waiting", "queued", "skipped", "paused", "halted", "failed", "done", "pruned", "damaged")
_UNITS = ("image", "images", "breast", "breasts", "patient", "patients", "benign", "malignant")
_COUNTED = ("images promised", "images found", "images expected", "lesions promised", "masks found", "crops found",
            "with mask", "epoch", "step", "trial", "each")  # fmt: skip
_FILLED_IN = (
    *_STATES,
    "skipped",
    *_UNITS,
    *_COUNTED,
    "training",
    "validation",
    "test",
    "starting",
    "working",
    "map",
    "gallery",
    "attention",
    "Show this message and exit.",
    "Commands",
    "Arguments",
)
_BOUNDS = [
    f"must be {bound}" for bound in ("greater than or equal to", "less than or equal to", "greater than", "less than")
]
_PLAIN_WORDS = ("must be a whole number", "must be a number", "must be yes or no", "needs at least one value")
_OF_PYDANTIC = (*(f"{bound} {{1}}" for bound in _BOUNDS), *(f"{{1}} {bound} {{2}}" for bound in _BOUNDS),
                *(f"{{1}} {text}" for text in _PLAIN_WORDS), "{1} must be {2}", "given: {1}", "{1} or {2}")  # fmt: skip
_NAMES_OF_SHOWN = re.compile("_?([A-Z]+_)?(COLUMNS|LINES|SORTINGS|ACTIONS|METRICS)|titles|actions|marks|labels")
_MOST_VARIANTS = 4


def extract_messages() -> dict[str, str]:
    """Map each text to the file that it comes from."""
    found: dict[str, str] = {}
    words = [("where a text has a hole", word) for word in (*_FILLED_IN, *_OF_PYDANTIC)]
    for place, text in [*_list_command_texts(), *_list_preset_texts(), *_list_source_texts(), *words]:
        is_docstring = "\n" in text and {*text.split("\n", 1)} <= found.keys()  # a question with its explanation
        if text.strip() and re.search("[A-Za-z]{2}", text) and not is_docstring:
            found.setdefault(text.strip(EDGES), place)
    return found


def _list_command_texts() -> Iterator[tuple[str, str]]:
    for section in command_list.list_sections():
        yield "configs/menu.yaml", section
    for name in command_list.list_commands():
        place = f"tfm/commands/{name.replace('-', '_')}.py"
        yield place, command_list.read_summary(name)
        yield place, command_list.read_explanation(name)
        for field in registry.find_command(name).list_fields():
            for one in (field, *(inner for part in field.parts for inner in field.list_part_fields(part))):
                label = one.name.rpartition(".")[2].replace("_", " ")
                own = "\n".join(line.strip() for line in (one.info.description or "").strip().split("\n")[1:])
                ineffective = one.explanation.removeprefix(own)
                yield from ((place, text) for text in (one.question, own, ineffective, label, one.group))
            yield from ((place, (part.__doc__ or "").strip().split("\n")[0]) for part in field.parts.values())


def _list_preset_texts() -> Iterator[tuple[str, str]]:
    for path in sorted(CONFIGS.glob("[!c]*/*.yaml")):  # not clusters/, whose texts nothing shows
        content = files.read_yaml(path)
        for key in ("title", "about"):
            if isinstance(content, dict) and isinstance(content.get(key), str):
                yield str(path.relative_to(PROJECT)), content[key].strip()


def _list_source_texts() -> Iterator[tuple[str, str]]:
    for path in sorted((PROJECT / "tfm").rglob("*.py")):
        if not str(path.relative_to(PROJECT / "tfm")).startswith(_DOCUMENTS):
            for text in list_texts(path.read_text(encoding="utf-8")):
                yield str(path.relative_to(PROJECT)), text


def list_texts(source: str) -> Iterator[str]:
    """The sentences of a module, and the single words in what it shows, such as the columns of a table."""
    yield from _visit(ast.parse(source), is_shown=False)


def _visit(node: ast.AST, *, is_shown: bool) -> Iterator[str]:
    if isinstance(node, ast.Call):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        if name not in _NOT_SHOWN:
            shows = name in _EVENTS or (is_shown and name not in ("get", "join"))
            yield from _visit_all(_list_shown_parts(node, name), is_shown=shows)
        yield from _visit_all((word.value for word in node.keywords if word.arg == "help"), is_shown=True)
    elif isinstance(node, ast.Constant | ast.JoinedStr):
        for text in _spell_variants(node):
            if is_shown and re.fullmatch("[a-z]+(_[a-z]+)+", text):
                yield text.replace("_", " ")  # the name of a result
            if (_PROSE.search(text) or (is_shown and _WORD.fullmatch(text.strip(f"{EDGES}().…")))) and not _CODE.match(
                text
            ):
                yield text
        holes = node.values if isinstance(node, ast.JoinedStr) else []
        yield from _visit_all((hole for hole in holes if isinstance(hole, ast.FormattedValue)), is_shown=is_shown)
    else:
        names = [ast.unparse(name) for name in getattr(node, "targets", [getattr(node, "target", None)]) if name]
        shows = is_shown or any(map(_NAMES_OF_SHOWN.fullmatch, names))
        yield from _visit_all(ast.iter_child_nodes(node), is_shown=shows)


def _list_shown_parts(call: ast.Call, name: str) -> Sequence[ast.AST]:
    match name:
        case "Text":
            return call.args[:1]  # before the style
        case "NextStep":
            return call.args[:2]  # before the command
        case "Panel":
            return [*call.args, *(word.value for word in call.keywords if word.arg in ("title", "subtitle"))]
        case "Choice" | "Question":
            keys = ("name", "value", "default", "section")
            return [*call.args[1:], *(word.value for word in call.keywords if word.arg not in keys)]
    return [call.func, *call.args, *call.keywords]


def _visit_all(nodes: Iterable[ast.AST], *, is_shown: bool) -> Iterator[str]:
    for node in nodes:
        if not _is_docstring(node):
            yield from _visit(node, is_shown=is_shown)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _spell_variants(node: ast.expr) -> list[str]:
    """The text with numbered holes; a choice between two words, such as "image" and "images", makes two texts."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    options: list[list[str | None]] = []
    for value in node.values if isinstance(node, ast.JoinedStr) else []:
        inner = value.value if isinstance(value, ast.FormattedValue) else value
        if isinstance(value, ast.Constant):
            options.append([value.value])
        elif isinstance(inner, ast.IfExp) and all(
            isinstance(one, ast.Constant) and isinstance(one.value, str) for one in (inner.body, inner.orelse)
        ):
            options.append([inner.body.value, inner.orelse.value])  # type: ignore[attr-defined]
        elif isinstance(inner, ast.BinOp) and isinstance(inner.left, ast.Constant) and inner.left.value == "s":
            options.append(["", "s"])  # as in f"run{'s' * (count > 1)}"
        else:
            options.append([None])
    texts = []
    for parts in product(*options):
        holes = 0
        text = ""
        for part in parts:
            holes += part is None
            text += f"{{{holes}}}" if part is None else part
        texts.append(text)
    return texts[:_MOST_VARIANTS]


def write_catalogue(file: Path, messages: dict[str, str]) -> None:
    known = read_catalogue(file) if file.exists() else {}
    entries = [f'msgid ""\nmsgstr "Language: {file.stem}\\nContent-Type: text/plain; charset=UTF-8\\n"\n']
    for english, place in messages.items():
        entries.append(f"#: {place}\nmsgid {_quote(english)}\nmsgstr {_quote(known.get(english, ''))}\n")
    file.write_text("\n".join(entries), encoding="utf-8")


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def main() -> None:
    messages = extract_messages()
    for file in {*LOCALE.glob("*.po"), *(LOCALE / f"{language}.po" for language in sys.argv[1:])}:
        write_catalogue(file, messages)
        missing = sorted(messages.keys() - read_catalogue(file).keys())
        sys.stdout.write(f"{file}: {len(messages)} texts, {len(missing)} without a translation\n")


if __name__ == "__main__":
    main()
