"""What keys do to a list of choices."""

import threading

from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console

from tfm.ui.list_prompt import ListPrompt
from tfm.ui.list_state import ListState
from tfm.ui.prompts import Choice, Question

ROWS = [
    Choice("small", "Small network"),
    Choice("large", "Large network", disabled="needs a GPU"),
    Choice("tiny", "Tiny"),
]


def ask_several(**words) -> ListState:
    return ListState(Question("models", "Which models?", choices=ROWS, several=True, **words))


def test_marking_all_leaves_out_what_cannot_be_chosen():
    state = ask_several()
    state.mark(["small", "large", "tiny"])
    assert state.read_answer() == ["small", "tiny"]
    state.mark(["small", "large", "tiny"])
    assert state.read_answer() == []
    assert state.problem == "Mark at least one."


def test_a_row_that_cannot_be_chosen_says_why():
    state = ListState(Question("model", "Which model?", choices=ROWS))
    state.move(1)
    state.read_answer()
    assert state.problem == "needs a GPU"


def test_the_cursor_and_the_marks_stay_when_the_list_changes():
    state = ask_several(default=["tiny"])
    assert state.current == ROWS[2], "a person sees what is marked already"
    state.update(Question("models", "Which models?", choices=[Choice("new", "New"), *ROWS], several=True))
    assert state.current == ROWS[2]
    assert state.marked == ["tiny"]


def test_a_filter_narrows_the_list_and_esc_shows_it_all_with_the_cursor_on_the_same_row():
    state = ask_several()
    state.set_filter("TINY")
    assert [row.value for row in state.rows] == ["tiny"]
    state.set_filter(None)
    assert state.current == ROWS[2]
    assert len(state.rows) == 3


def test_a_mark_goes_when_its_row_can_no_longer_be_chosen():
    state = ask_several(default=["small", "tiny"])
    state.update(
        Question("models", "Which models?", choices=[*ROWS[:2], Choice("tiny", "Tiny", disabled="no weights")])
    )
    assert state.marked == ["small"]


def test_no_row_comes_between_two_keys_of_a_person_who_counts():
    rows = [Choice(name, name) for name in "abc"]
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):

        def refresh():
            threading.Timer(0.2, keys.send_text, ("\x1b[B\r",)).start()  # after the fresh rows are there
            return Question("row", "Which?", choices=[*rows[:2], Choice("new", "new"), rows[2]])

        keys.send_text("\x1b[B")
        assert ListPrompt(Question("row", "Which?", choices=rows, refresh=refresh), Console()).run() == "c"
