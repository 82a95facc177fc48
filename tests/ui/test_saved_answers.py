"""Answers are saved per command and presets."""

from tfm.ui.saved_answers import SavedAnswers


def test_answers_are_saved_per_command_and_presets(tmp_path):
    answers = SavedAnswers(tmp_path / "w" / "answers.yaml")
    answers.save("train", ("A",), {})
    assert not answers.file.exists(), "without answers nothing is created"
    answers.save("train", ("A",), {"learning_rate": 0.1})
    answers.save("train", ("B",), {"learning_rate": 0.2})
    assert answers.load("train", ("A",)) == {"learning_rate": 0.1}
    assert answers.load("organize", ()) == {}


def test_a_damaged_file_only_loses_the_answers(tmp_path):
    answers = SavedAnswers(tmp_path / "answers.yaml")
    answers.save("train", ("A",), {"learning_rate": 0.1})
    answers.file.write_text("{ not yaml")
    assert answers.load("train", ("A",)) == {}
