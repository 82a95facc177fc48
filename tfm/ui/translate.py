"""Texts in the language of the person who reads them.

The program is written in English. A catalogue of `locale/` holds the texts of another language by their English text,
where `{1}` stands for what the program fills in. A finished text is looked up when it is shown, so no other layer knows
about languages. Commands, names of settings and files stay as they are.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from pathlib import Path

LOCALE = Path(__file__).parent / "locale"
ENGLISH = "en"
_ENTRY = re.compile(r'^msgid ((?:".*"\n)+)msgstr ((?:".*"(?:\n|\Z))+)', re.MULTILINE)
_HOLE = re.compile(r"\{(\d+)\}")
_SENTENCE = re.compile(r"(?<=[.?!:;])\s+(?=\S)")
_LINE = re.compile(r"\n")
_LETTERS = re.compile(r"[A-Za-z]{2}")
_STATES = {"running", "waiting", "paused", "halted", "failed", "pruned", "done", "damaged"}
_language = ENGLISH


def list_languages() -> list[str]:
    return sorted({ENGLISH, *(path.stem for path in LOCALE.glob("*.po"))})


def find_language(environment: Mapping[str, str]) -> str:
    """The language that the environment asks for; English if there is no catalogue of it."""
    names = ("TFM_LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
    wanted = next((environment[name] for name in names if environment.get(name)), "")
    language = re.split(r"[^a-z]", wanted.lower(), maxsplit=1)[0]
    return language if language in list_languages() else ENGLISH


def set_language(language: str) -> None:
    global _language
    _language = language


def get_language() -> str:
    return _language


def translate(text: str) -> str:
    """A text in the reader's language; unchanged if the language is English or the text is unknown."""
    return text if _language == ENGLISH else _load_translator(_language).translate(text)


def read_catalogue(file: Path) -> dict[str, str]:
    """Read the translated texts of a gettext .po file."""
    entries = (map(_join_lines, entry.groups()) for entry in _ENTRY.finditer(file.read_text(encoding="utf-8")))
    return {english: translated for english, translated in entries if english and translated}


def _join_lines(lines: str) -> str:
    joined: str = "".join(json.loads(line) for line in lines.splitlines())
    return joined


@functools.cache
def _load_translator(language: str) -> Translator:
    return Translator(read_catalogue(LOCALE / f"{language}.po"))


class Template:
    """An English text with holes, and its translation."""

    def __init__(self, english: str, translated: str) -> None:
        self.parts = _HOLE.split(english)
        self.translated = translated
        self.longest = max(self.parts[::2], key=len)
        self.length = sum(map(len, self.parts[::2]))

    def match(self, text: str) -> list[str] | None:
        """What the text has in the holes, in their order."""
        found = self._pattern.fullmatch(text) if self.longest in text else None
        return [*found.groups()] if found else None

    @functools.cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("(.*?)".join(map(re.escape, self.parts[::2])), re.DOTALL)

    def fill(self, values: list[str]) -> str:
        return _HOLE.sub(lambda hole: values[int(hole[1]) - 1], self.translated)


class Translator:
    def __init__(self, catalogue: Mapping[str, str]) -> None:
        self.texts = catalogue
        templates = [Template(*entry) for entry in catalogue.items() if _HOLE.search(entry[0])]
        self.templates = sorted(templates, key=lambda template: -template.length)  # the most specific first
        self.translate = functools.lru_cache(maxsize=4096)(self._translate)

    def _translate(self, text: str) -> str:
        """Translate a text as a whole, or else line by line and sentence by sentence; what is unknown stays."""
        if not _LETTERS.search(text):
            return text
        stripped = text.strip()
        if stripped != text:
            return text.replace(stripped, self.translate(stripped), 1)
        known = self._translate_whole(text)
        if known is not None:
            return known
        return self._translate_pieces(text, _LINE) or self._translate_pieces(text, _SENTENCE) or text

    def _translate_whole(self, text: str) -> str | None:
        if text in self.texts:
            return self.texts[text]
        small = text[:1].lower() + text[1:]
        if text != small and small in self.texts:  # a label at the beginning of a line
            return self.texts[small][:1].upper() + self.texts[small][1:]
        for template in self.templates:
            values = template.match(text)
            if values is not None:
                return template.fill([self._translate_value(value) for value in values])
        return None

    def _translate_value(self, value: str) -> str:
        """Translate what is in a hole; a single word may be a name and stays."""
        return self.translate(value) if " " in value.strip() or value in _STATES else value

    def _translate_pieces(self, text: str, gap: re.Pattern[str]) -> str | None:
        """Translate the longest run of pieces from the start that is one message, then the rest."""
        ends = [found.start() for found in gap.finditer(text)]
        for end in reversed(ends):
            known = self._translate_whole(text[:end])
            if known is not None:
                return known + self.translate(text[end:])
        if not ends:
            return None
        first = self.translate(text[: ends[0]])
        return first + self.translate(text[ends[0] :])
