"""Texts in the language of the person who reads them.

The program is written in English. A catalogue of `locale/` holds the texts of another language by their English text,
where `{1}` stands for what the program fills in. A finished text is looked up when it is shown, so no other layer knows
about languages. Commands, names of settings and files stay as they are: what is filled in is translated if it has
several words, and a single word only where the translation says `{1:word}`. A sentence of which a part is unknown
stays English as a whole.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

LOCALE = Path(__file__).parent / "locale"
ENGLISH = "en"
_ENTRY = re.compile(r'^msgid ((?:".*"\n)+)msgstr ((?:".*"(?:\n|\Z))+)', re.MULTILINE)
_HOLE = re.compile(r"\{(\d+)(:word)?\}")
_SENTENCE = re.compile(r"(?<=[.?!…])\s+(?=\S)|(?= · )")
_CLAUSE = re.compile(r"(?<=[.?!])\s+(?=\S)|(?=[;:,] )|(?= \()|(?= · )|\n")
_CODE = re.compile(r"`[^`]*`|\S*[/_=]\S*")
_PROSE = re.compile(r"(?:^|\s)(?!min\b)[a-z]{2,}(?=[\s,;:.)]|$)")  # in a name of several words: none
_PRONOUNS = ("It", "They", "This", "These", "The")  # begin a sentence that another one did not find
_LOWER = re.compile(r"[a-z]{2,}")
EDGES = " ;:,·\n"  # of a text in a catalogue: none, because other texts stand before and behind it
_MOST_PIECES, _KEPT = 30, 8192
_FEW_LETTERS = 6  # of a template such as "{1} of {2}", which also matches what is no message
_LINE = re.compile(r"\n")
_WORD = re.compile(r"[A-Za-z]+")
_WHOLE_WORD = re.compile(r"(?<=[^A-Za-z])[A-Za-z]+(?=[^A-Za-z])")  # no hole can continue it
_COUNT = re.compile(r"(?<![\w.,=/])\d{1,3}(,\d{3})+(?![\d,])")  # whose comma reads as a decimal one elsewhere
_LETTERS = re.compile(r"[A-Za-z]{2}")
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
    found = _ENTRY.findall(file.read_text(encoding="utf-8"))
    lines = [text.strip().replace('"\n"', "") for entry in found for text in entry]
    texts = json.loads(f"[{','.join(lines)}]")  # at once, which is fast
    entries = zip(texts[::2], texts[1::2], strict=True)
    return {english: translated for english, translated in entries if english and translated}


@functools.cache
def _load_translator(language: str) -> Translator:
    return Translator(read_catalogue(LOCALE / f"{language}.po"))


class Template:
    """An English text with holes, and its translation."""

    def __init__(self, english: str, translated: str) -> None:
        self.parts = _HOLE.split(english)[::3]
        self.translated = translated
        self.length = sum(map(len, self.parts))
        spaced = [f" {self.parts[0]}", *self.parts[1:-1], f"{self.parts[-1]} "]
        words = [word for part in spaced for word in _WHOLE_WORD.findall(part)]
        self.word = max(words, key=len, default="")
        self.is_weak = sum(map(str.isalpha, "".join(self.parts))) < _FEW_LETTERS

    def match(self, text: str) -> list[str] | None:
        """What the text has in the holes, in their order; each as short as can be."""
        first, *others, last = self.parts
        if not text.startswith(first) or not text.endswith(last):
            return None
        values, position, end = [], len(first), len(text) - len(last)
        for part in others:
            found = text.find(part, position, end)
            if found < 0:
                return None
            values.append(text[position:found])
            position = found + len(part)
        return [*values, text[position:end]] if position <= end else None

    def fill(self, values: list[str], translate: Callable[[str], str | None]) -> str | None:
        """The translation; None if what is in a hole has none."""
        filled = []
        for hole in _HOLE.finditer(self.translated):
            value = values[int(hole[1]) - 1]
            is_word = _LETTERS.search(value) and " " not in value.strip()
            filled.append(value if is_word and not hole[2] else translate(value))
        if None in filled:
            return None
        words = iter(filled)
        return _HOLE.sub(lambda _: next(words) or "", self.translated)


class Translator:
    def __init__(self, catalogue: Mapping[str, str]) -> None:
        self.texts = catalogue
        templates = [Template(*entry) for entry in catalogue.items() if _HOLE.search(entry[0])]
        self.templates: dict[str, list[Template]] = {}  # by a word that each needs
        for template in templates:
            self.templates.setdefault(template.word, []).append(template)
        self.translate = functools.lru_cache(maxsize=_KEPT)(self._translate)
        self._translate_whole = functools.lru_cache(maxsize=_KEPT)(self._find_whole)
        self._translate_sentence = functools.lru_cache(maxsize=_KEPT)(self._find_sentence)

    def _translate(self, text: str) -> str:
        """Translate a text as a whole, or else line by line and sentence by sentence; what is unknown stays."""
        known = self._translate_sentence(text)
        if known is not None:
            return known
        for gap in (_LINE, _SENTENCE):
            ends = [found.start() for found in gap.finditer(text) if found.start()]
            for end in reversed(ends[:_MOST_PIECES]):
                known = self._translate_sentence(text[:end])
                if known is not None:
                    return known + self._translate(text[end:])
            if ends:
                first = self._translate(text[: ends[0]])
                return first + self._translate(text[ends[0] :])
        return text

    def _find_sentence(self, text: str) -> str | None:
        """Translate a text with all its clauses; None if one of them is unknown and no name."""
        if not _LETTERS.search(text):
            return _COUNT.sub(lambda count: count[0].replace(",", "\u00a0"), text)
        if text != text.strip():
            return self._translate_inside(text, None)
        known = self._translate_whole(text)
        if known is not None:
            return known
        known = self._translate_clauses(text)
        for edges in (EDGES, f"{EDGES}.()…"):
            if known is None and text != text.strip(edges):
                known = self._translate_inside(text, edges)
        if known is not None:
            return known
        if text in _PRONOUNS:
            return None
        return None if " " in text and _PROSE.search(_CODE.sub("", text)) else text

    def _translate_inside(self, text: str, edges: str | None) -> str | None:
        inside = text.strip(edges)
        known = self._translate_sentence(inside)
        return None if known is None else text.replace(inside, known, 1)

    def _translate_clauses(self, text: str) -> str | None:
        """Translate the longest run of clauses from the start that is one message, then the rest."""
        ends = [found.start() for found in _CLAUSE.finditer(text) if found.start()][:_MOST_PIECES]
        for end in reversed(ends):
            known = self._translate_sentence(text[:end]) if end == ends[0] else self._translate_whole(text[:end])
            rest = None if known is None else self._translate_sentence(text[end:])
            if known is not None and rest is not None:
                return known + rest
        return None

    def _find_whole(self, text: str) -> str | None:
        if text in self.texts:
            return self.texts[text]
        small = text[:1].lower() + text[1:]
        if text != small and small in self.texts:  # a label at the beginning of a line
            return self.texts[small][:1].upper() + self.texts[small][1:]
        if text[:-1] in self.texts and text[-1] == ".":
            return f"{self.texts[text[:-1]]}."
        words = {"", *_WORD.findall(text)}
        found = (template for word in words for template in self.templates.get(word, ()))
        for template in sorted(found, key=lambda template: -template.length):  # the most specific first
            values = template.match(text)
            if values is not None and not (template.is_weak and any(map(self._is_unknown, values))):
                filled = template.fill(values, self._translate_sentence)
                if filled is not None:
                    return filled
        return None

    def _is_unknown(self, value: str) -> bool:
        """Whether it is prose, or one word such as no name is."""
        word = value.strip(f"{EDGES}.()…")
        is_prose = " " in _CODE.sub("", word).strip() or _LOWER.fullmatch(word) is not None
        return is_prose and self._translate_whole(value) is None
