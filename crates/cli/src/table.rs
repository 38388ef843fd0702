//! Rows in columns, as Kafka's tools print them; the rows themselves serialize as JSON.
//!
//! Pure.

/// How wide a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    /// This wide; longer cells push what follows to the right.
    Exactly(usize),
    /// As wide as its longest cell, and at least this wide. Its title does not count.
    AtLeast(usize),
    /// As wide as its longest cell or its title.
    Widest,
    /// The last column, which is not filled up with spaces.
    Unpadded,
}

/// Makes the text of one cell of a row.
type Cell<'a, Row> = Box<dyn Fn(&Row) -> String + 'a>;

struct Column<'a, Row> {
    title: &'static str,
    width: Width,
    cell: Cell<'a, Row>,
}

/// The columns in which rows are printed.
pub(crate) struct Table<'a, Row> {
    columns: Vec<Column<'a, Row>>,
    separator: &'static str,
}

impl<'a, Row> Table<'a, Row> {
    /// Without columns; those that are added are separated by a space.
    pub(crate) fn new() -> Self {
        Self {
            columns: Vec::new(),
            separator: " ",
        }
    }

    /// The same with another separator.
    pub(crate) fn separated_by(mut self, separator: &'static str) -> Self {
        self.separator = separator;
        self
    }

    /// Adds a column.
    pub(crate) fn column(
        mut self,
        title: &'static str,
        width: Width,
        cell: impl Fn(&Row) -> String + 'a,
    ) -> Self {
        let cell = Box::new(cell);
        self.columns.push(Column { title, width, cell });
        self
    }

    /// Adds columns where the condition holds.
    pub(crate) fn when(self, condition: bool, add: impl FnOnce(Self) -> Self) -> Self {
        if condition { add(self) } else { self }
    }

    /// The titles and the rows, one line each, without line ends.
    pub(crate) fn lines<'r>(&self, rows: impl IntoIterator<Item = &'r Row>) -> Vec<String>
    where
        Row: 'r,
    {
        let cells = |row: &Row| {
            self.columns
                .iter()
                .map(|column| (column.cell)(row))
                .collect()
        };
        let mut lines: Vec<Vec<String>> = vec![self.titles()];
        lines.extend(rows.into_iter().map(cells));
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|number| {
                let longest = |skipped: usize| {
                    let cells = lines.iter().skip(skipped).map(|cells| cells[number].len());
                    cells.max().unwrap_or(0)
                };
                match self.columns[number].width {
                    Width::Exactly(width) => width,
                    Width::AtLeast(least) => longest(1).max(least),
                    Width::Widest => longest(0),
                    Width::Unpadded => 0,
                }
            })
            .collect();
        let padded = |cells: &Vec<String>| -> Vec<String> {
            let cells = cells.iter().zip(&widths);
            cells
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect()
        };
        lines
            .iter()
            .map(|cells| padded(cells).join(self.separator))
            .collect()
    }

    fn titles(&self) -> Vec<String> {
        let titles = self.columns.iter().map(|column| column.title.to_owned());
        titles.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_say() {
        let table = |wide: bool| {
            Table::new()
                .column("EXACT", Width::Exactly(3), |row: &(&str, i32)| {
                    row.0.to_owned()
                })
                .column("LEAST", Width::AtLeast(2), |row| row.0.to_owned())
                .when(wide, |table| {
                    table.column("WIDE", Width::Widest, |row| row.1.to_string())
                })
                .column("LAST", Width::Unpadded, |row| row.1.to_string())
        };
        let rows = [("a", 1), ("abcd", 22)];
        let expected = [
            "EXACT LEAST WIDE LAST",
            "a   a    1    1",
            "abcd abcd 22   22",
        ];
        assert_eq!(table(true).lines(&rows), expected);
        let expected = ["EXACT|LEAST|LAST", "a  |a   |1"];
        let table = table(false).separated_by("|");
        assert_eq!(table.lines(&rows)[..2], expected);
    }
}
