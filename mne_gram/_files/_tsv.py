# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""TSV files that are changed in place: whatever is not changed keeps its bytes."""

import re

_BOM = "\ufeff"


class TsvText:
    """The text of a TSV file, of which cells are changed, and rows and columns added.

    ``columns`` are the names of the columns, without blanks around them. Raises ValueError if the
    content is not a table with cells in each column of each row.
    """

    def __init__(self, content, name):
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise ValueError(f"{name} is not encoded in UTF-8 ({exc}). Correct it.") from None
        self._bom = _BOM if text.startswith(_BOM) else ""
        parts = re.split(r"(\r\n|\n|\r)", text.removeprefix(_BOM))
        lines = zip(parts[::2], [*parts[1::2], ""], strict=True)
        self._lines = [[text.split("\t"), end] for text, end in lines if text or end]
        if not self._lines:
            raise ValueError(f"{name} is empty. Correct or remove it.")
        self._end = self._lines[0][1] or "\n"
        self.columns = [cell.strip() for cell in self._lines[0][0]]
        wide = [k for k, row in enumerate(self._rows, 2) if len(row) != len(self.columns)]
        if wide:
            raise ValueError(
                f"{name} is not a table: row {wide[0]} of {len(self._rows) + 1} has not one cell "
                f"for each of its {len(self.columns)} columns. Correct it."
            )
        if len(set(self.columns)) < len(self.columns) or "" in self.columns:
            raise ValueError(f"{name} repeats the name of a column, or one is empty. Correct it.")

    @property
    def _rows(self):
        """The cells of all rows but the header and blank lines."""
        return [cells for cells, _ in self._lines[1:] if "".join(cells).strip()]

    def get(self, column):
        """Return the cells of a column, without the blanks around them."""
        place = self.columns.index(column)
        return [row[place].strip() for row in self._rows]

    def set(self, row, column, value):
        """Change a cell; rows count from 0, without the header."""
        self._rows[row][self.columns.index(column)] = value

    def set_column(self, column, values):
        """Change the cells of a column; a new one is added at the right."""
        if column not in self.columns:
            self.columns.append(column)
            self._lines[0][0].append(column)
        place = self.columns.index(column)
        for row, value in zip(self._rows, values, strict=True):
            row[place : place + 1] = [value]

    def insert(self, row, cells):
        """Insert a row before another one, or at the end; cells that are not given are n/a."""
        own = [line for line in self._lines[1:] if "".join(line[0]).strip()]
        last = [self._lines[0], *own][row]
        place = next(k for k, line in enumerate(self._lines) if line is last) + 1
        new = [[cells.get(column, "n/a") for column in self.columns], last[1]]
        last[1] = last[1] or self._end
        self._lines.insert(place, new)

    def to_bytes(self):
        """Return the content of the file."""
        text = "".join("\t".join(cells) + end for cells, end in self._lines)
        return (self._bom + text).encode("utf-8")
