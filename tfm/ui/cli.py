"""The command line: options are built from settings classes.

Only the named command is built; the help lists the others with the first line of their module.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import Parameter, Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from typer.exceptions import TyperException

from tfm import __version__
from tfm.core import command_list, hints
from tfm.core.errors import SettingsError, TFMError
from tfm.core.settings import presets as offers
from tfm.core.settings.spell_settings import format_flag
from tfm.ui import completion
from tfm.ui.help_texts import translate_help
from tfm.ui.reader import is_accessible, take_reader_options
from tfm.ui.similar_glyphs import prompt_with_similar_glyphs, replace_missing_glyphs
from tfm.ui.spell_references import set_reader, spell
from tfm.ui.translate import ENGLISH, get_language

if TYPE_CHECKING:
    from tfm.core.registry import Command
    from tfm.core.runs.workspace import Workspace
    from tfm.core.settings.fields import SettingField

_ABOUT = "Get from a CBIS-DDSM download to a comparison of models that a thesis can cite."
_EPILOG = "Every command has --help. Without a command: the menu. For research and teaching, never for diagnosis."
_RUNS_HELP = "List, show, watch, pause, resume, extend, restart or remove runs."
_STARTING_RUNS = {"resume", "restart", "extend"}  # the commands below `runs` that start one


def main(arguments: Sequence[str] | None = None) -> int:
    replace_missing_glyphs()
    set_reader(None)
    try:
        given = completion.read_words(os.environ) or (sys.argv[1:] if arguments is None else arguments)
        return _run(take_reader_options(given, os.environ))
    except TyperException as error:
        from tfm.ui.usage_errors import explain_usage_error

        return _print_wrong_use(explain_usage_error(error))
    except TFMError as error:
        return _print_wrong_use(error)
    except typer.Abort:  # Ctrl-C or Ctrl-D at a question of a command
        typer.echo(spell("Nothing was done."), err=True)
        return 1
    except SystemExit as end:
        return int(end.code or 0)


def _run(words: Sequence[str]) -> int:
    named = _find_command(words)
    if named not in (None, "runs"):
        command_list.find_file(str(named))
    if any(word.partition("=")[0] == "--on" for word in words) and not _is_starting(words):
        raise SettingsError("this command starts no run", hint=f"leave out {hints.setting('on')}")
    command = typer.main.get_command(_build_app(words))
    if get_language() != ENGLISH:
        translate_help(command)
    try:
        return int(command(args=words, prog_name=completion.PROGRAM, standalone_mode=False) or 0)
    except SystemExit:  # after typer installed the completion or printed it
        completion.finish_installation(words)
        raise


def _print_wrong_use(error: TFMError) -> int:
    from tfm.ui import render
    from tfm.ui.workspace_and_errors import WRONG_USE

    render.print_error(render.create_console(stderr=True), error)
    return WRONG_USE


def _build_app(words: Sequence[str]) -> typer.Typer:
    app = typer.Typer(rich_markup_mode="rich", pretty_exceptions_enable=False)
    app.callback(invoke_without_command=True, epilog=_EPILOG, help=_ABOUT)(_open_menu)
    named = _find_command(words)
    for section, names in command_list.list_sections().items():
        for name in names:
            function = build_command(name, words) if name == named else _reject_placeholder
            text = spell(command_list.read_summary(name))
            if name == named:
                text += f"\n\n{spell(command_list.read_explanation(name))}"
            app.command(name, help=_escape_markup(text), rich_help_panel=section)(function)
    if named == "runs":
        from tfm.ui.screens import runs_commands

        app.add_typer(runs_commands.app, name="runs", rich_help_panel="Runs")
    else:
        app.command("runs", help=spell(_RUNS_HELP), rich_help_panel="Runs")(_reject_placeholder)
    return app


def _find_command(words: Sequence[str]) -> str | None:
    """Find the first word that is neither an option nor an option's value."""
    position = 0
    while position < len(words) and words[position].startswith("-"):
        position += 2 if words[position] == "--workspace" else 1
    return words[position] if position < len(words) else None


def _is_starting(words: Sequence[str]) -> bool:
    """Whether a command starts something that can run on a cluster."""
    command = _find_command(words)
    return not _STARTING_RUNS.isdisjoint(words) if command == "runs" else command is not None


def _escape_markup(text: str) -> str:
    """Show brackets and `:words:` as they are, where rich would read markup and emoji."""
    return re.sub(r":(\S+?):", r":[none]\1[/none]:", escape(text))


def _reject_placeholder() -> None:
    """Stand in the help for a command that is not built."""
    raise AssertionError("only the named command is called, and that one is built")


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"TFM {__version__}")
        raise typer.Exit


def _open_menu(
    context: typer.Context,
    workspace: Annotated[
        Path | None, typer.Option(help="Folder for data, caches and runs.", show_default="workspace")
    ] = None,
    accessible: Annotated[bool, typer.Option("--accessible", help="Plain lines, for screen readers.")] = False,
    language: Annotated[str | None, typer.Option(help="Language of what is shown, such as es.")] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """The menu. `take_reader_options` has read the options accessible and language."""
    if context.invoked_subcommand is not None:
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        from tfm.ui.workspace_and_errors import WRONG_USE

        names = "\n  ".join(command_list.list_commands())
        typer.echo(f"The menu needs a terminal. Without one, use the commands:\n  {names}\nEach has --help.", err=True)
        raise typer.Exit(WRONG_USE)
    from tfm.ui.screens.home import run_home
    from tfm.ui.workspace_and_errors import report_errors

    with prompt_with_similar_glyphs():
        report_errors(lambda: run_home(workspace, is_accessible()))


def build_command(name: str, words: Sequence[str] = ()) -> Callable[..., None]:
    """Build a function whose signature typer reads; each option is an optional string, None if it is not given.

    A preset that starts another command, such as EfficientNetB3_Optuna, has the options of that command.
    """
    from tfm.core import registry
    from tfm.core.registry import Answer
    from tfm.ui.workspace_and_errors import option_on, report_errors

    found = registry.find_command(name)
    asked = registry.find_command(_find_started_name(found, words)).list_fields()
    set_reader(None, found.name)
    parameters = [_build_preset_parameter(found), *(_build_parameter(field) for field in asked)]
    parameters += [_build_set_parameter(field) for field in asked if field.parts]
    if isinstance(found, Answer):
        parameters += [_WORKSPACE, _JSON]
    else:
        parameters += [_make_keyword("on", str, option_on), _WORKSPACE, _DETACH, _YES, _QUIET, _JSON]

    def command(context: typer.Context, **words: Any) -> None:
        report_errors(lambda: _run_command(found, context, words))

    kept = [_CONTEXT, *(parameter for parameter in parameters if parameter is not None)]
    command.__signature__ = Signature(kept)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in kept}
    return command


def _find_started_name(found: Command, words: Sequence[str]) -> str:
    """The command that a shipped preset starts. The user's presets are in a workspace, which is not known yet."""
    presets = getattr(found, "presets", None)
    named = [word for word in words if presets and word in offers.list_presets(presets)]
    is_named = len(named) == 1 and getattr(found, "default_preset", None) is None
    return offers.load_preset(presets, named[0]).stage if presets and is_named else found.name


def _make_keyword(name: str, kind: Any, place: Any) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, place])


_CONTEXT = Parameter("context", Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
_option = partial(typer.Option, rich_help_panel="This run")
_WORKSPACE = _make_keyword(
    "workspace", Path, _option(help="Folder for data, caches and runs.", show_default="workspace")
)
_DETACH = _make_keyword("detach", bool, _option("--detach", help="Start the run and return at once."))
_YES = _make_keyword(
    "yes", bool, _option("--yes", help="Start even if it needs more memory, disk space or time than this machine has.")
)
_QUIET = _make_keyword("quiet", bool, _option("--quiet", help="Print only how the run ended."))
_JSON = _make_keyword("json", bool, _option("--json", help="Print the results as a last line of JSON."))


def _build_preset_parameter(found: Command) -> Parameter | None:
    from tfm.core.registry import Stage

    if not isinstance(found, Stage) or found.presets is None:
        return None
    help_text = f"One of {', '.join(offers.list_presets(found.presets, like=found.default_preset))}."
    complete = completion.complete_presets(found.presets, found.default_preset)
    if found.default_preset is None:
        help_text += " Several make a queue."
        argument = typer.Argument(help=help_text, metavar="MODEL…", autocompletion=complete)
        return _make_keyword("presets", list[str], argument)
    shown = found.default_preset
    option = typer.Option("--preset", help=help_text, show_default=shown, autocompletion=complete)
    return _make_keyword("presets", str, option)


def _build_parameter(field: SettingField) -> Parameter:
    help_text = _escape_markup(f"{spell(field.question)}\n\n{spell(field.explanation)}".strip())
    default, complete = _describe_default(field), completion.complete_field(field)
    if field.is_positional:
        metavar = field.name.upper() + ("…" if field.is_list else "")
        shown = not field.is_required and default
        argument = typer.Argument(help=help_text, metavar=metavar, show_default=shown, autocompletion=complete)
        return _make_keyword(field.name, list[str] if field.is_list else str, argument)
    panel = field.group.capitalize() or "Settings"
    option = partial(typer.Option, help=help_text, show_default=default, rich_help_panel=panel)
    flag = format_flag(field.name)
    if field.is_bool:
        return _make_keyword(field.name, bool, option(f"{flag}/{format_flag(f'no-{field.name}')}"))
    metavar = "|".join(map(str, field.choices)) or field.name.rpartition("_")[2].upper()
    return _make_keyword(field.name, str, option(flag, metavar=metavar, autocompletion=complete))


def _build_set_parameter(field: SettingField) -> Parameter:
    part = next(iter(field.parts))
    values = [value for each in field.parts for value in field.list_part_fields(each)]
    examples = " or ".join([f"{part}=false", *(f"{value.name}={value.default}" for value in values[-1:])])
    help_text = f"Switch one of the {field.name} on or off, or change one of its values: {examples}. May be repeated."
    help_text += f"\n\nParts: {', '.join(field.parts)}."
    return _make_keyword("set", list[str], typer.Option(help=help_text, metavar="NAME=VALUE"))


def _describe_default(field: SettingField) -> str | bool:
    if field.is_required:
        return "required" if not field.input else "the only one"
    if field.is_mapping or field.default is None:
        return False
    if field.is_bool:
        return "yes" if field.default else "no"
    shown = ", ".join(map(str, field.default)) if isinstance(field.default, list | tuple) else str(field.default)
    return shown or False


def _run_command(found: Command, context: typer.Context, words: dict[str, Any]) -> None:
    from tfm.core.registry import Answer
    from tfm.core.runs.cluster import THIS_MACHINE
    from tfm.core.runs.executors import find_executor, open_executor
    from tfm.core.runs.find_or_create import find_or_create_job
    from tfm.ui.screens import foreground
    from tfm.ui.workspace_and_errors import open_workspace

    workspace = open_workspace(context, words.pop("workspace", None))
    set_reader(workspace, found.name)
    detach, quiet, as_json, presets = (words.pop(word, None) for word in ("detach", "quiet", "json", "presets"))
    yes = words.pop("yes", None)
    given = collect_settings(words)
    if isinstance(found, Answer):
        raise typer.Exit(foreground.print_answer(found, given, workspace, as_json=bool(as_json)))
    chosen = [presets] if isinstance(presets, str) else presets or []
    on = given.pop("on", None)
    executor = open_executor(workspace, on) if on else None
    is_here = on in (None, THIS_MACHINE)
    if not quiet:
        _report_doubts(workspace, found.name, chosen, given, is_here=is_here, is_confirmed=bool(yes))
    job = find_or_create_job(workspace, found.name, given, chosen, executor, needs_weights=is_here)
    executor = executor or find_executor(job)
    status = foreground.run_in_foreground(job, executor, detach=bool(detach), quiet=bool(quiet), as_json=bool(as_json))
    raise typer.Exit(status)


def _report_doubts(
    workspace: Workspace,
    name: str,
    presets: Sequence[str],
    given: dict[str, Any],
    *,
    is_here: bool,
    is_confirmed: bool,
) -> None:
    """Warn about what is unusual. What cannot be meant must be confirmed by a person; a script is only warned."""
    from tfm.core.events import Note
    from tfm.core.runs.doubts import find_doubts
    from tfm.ui import render

    doubts = find_doubts(workspace, name, presets, given, is_here=is_here)
    console = render.create_console(stderr=True)
    for doubt in doubts:
        render.print_note(console, Note(f"{doubt.message}; {doubt.hint}", "warning"))
    if any(doubt.is_certain for doubt in doubts) and not is_confirmed and sys.stdin.isatty() and sys.stderr.isatty():
        console.print(spell("Nothing was started. To start it all the same, add --yes."))
        raise typer.Exit(2)


def collect_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """The settings among the options of a command, with those of its parts."""
    given = {name: value for name, value in options.items() if value not in (None, [])}
    return given | dict(parse_assignment(text) for text in given.pop("set", []))


def parse_assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(f"--set {text} has no value", hint=f"write it as NAME=VALUE, as in {text}=true")
    return name, value
