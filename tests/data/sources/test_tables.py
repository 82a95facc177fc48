"""A table is read as it is written, or refused."""

import pytest

from tfm.core.errors import DataError
from tfm.data.sources.tables import read_text_table


def test_a_separator_at_the_end_of_the_rows_moves_no_cell(tmp_path):
    path = tmp_path / "cases.csv"
    path.write_text("file,patient,label\na.png,P1,benign,\nb.png,P2,malignant,\n")
    first, second = read_text_table(path).to_dict("records")
    assert first == {"file": "a.png", "patient": "P1", "label": "benign"}
    assert second["patient"] == "P2"


@pytest.mark.parametrize("more", [1, 50_000])
def test_a_row_with_more_cells_than_the_header_is_refused(tmp_path, more):
    path = tmp_path / "cases.csv"
    path.write_text("file,patient\na.png,P1" + ",x" * more + "\nb.png,P2\n")
    with pytest.raises(DataError, match="more cells than its header"):
        read_text_table(path)
