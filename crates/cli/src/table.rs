//! Rows in columns, as Kafka's tools print them; the rows themselves serialize as JSON.
//!
//! Pure.

/// How wide a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    /// This wide; longer cells push what follows to the right.
    Exactly(usize),
    /// As wide as its longest cell, and at least this wide. Its title does not count.
    AtLeast(usize),
    /// As wide as its longest cell or its title.
    Widest,
    /// The last column, which is not filled up with spaces.
    Unpadded,
}

/// A column: its title, its width, and whether it is printed.
type Column = (&'static str, Width, bool);

/// The columns in which rows are printed.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    separator: &'static str,
    end: &'static str,
}

/// The cells of a row.
macro_rules! cells {
    ($($cell:expr),* $(,)?) => {
        vec![$(($cell).to_string()),*]
    };
}
pub(crate) use cells;

impl Table {
    /// Columns that are separated by a space, written as `TITLE=10 | TITLE>=15 | TITLE`: exactly 10
    /// wide, as wide as the longest cell and at least 15, not filled up.
    pub(crate) fn new(columns: &'static str) -> Self {
        let column = |text: &'static str| {
            let text = text.trim();
            let (title, width) = text.split_once('=').unwrap_or((text, ""));
            let number = width.parse();
            match (title.strip_suffix('>'), number) {
                (Some(title), Ok(least)) => (title, Width::AtLeast(least), true),
                (None, Ok(width)) => (title, Width::Exactly(width), true),
                (_, Err(_)) => (title, Width::Unpadded, true),
            }
        };
        Self {
            columns: columns.split('|').map(column).collect(),
            separator: " ",
            end: "\n",
        }
    }

    /// Columns, written as `Title | Title`, with a tab after each. They are as wide as their
    /// longest cell or their title.
    pub(crate) fn with_tabs(columns: &'static str) -> Self {
        let titles = columns.split('|').map(str::trim);
        Self {
            columns: titles.map(|title| (title, Width::Widest, true)).collect(),
            separator: "\t",
            end: "\t\n",
        }
    }

    /// Leaves out the columns of these titles, unless the condition holds.
    pub(crate) fn only_if(mut self, condition: bool, titles: &[&str]) -> Self {
        let named = |column: &&mut Column| titles.contains(&column.0);
        for (_, _, printed) in self.columns.iter_mut().filter(named) {
            *printed &= condition;
        }
        self
    }

    /// Sets the width of the columns of these titles.
    pub(crate) fn wide(mut self, width: usize, titles: &[&str]) -> Self {
        let named = |column: &&mut Column| titles.contains(&column.0);
        for column in self.columns.iter_mut().filter(named) {
            column.1 = Width::Exactly(width);
        }
        self
    }

    /// The titles, and a line for each row.
    pub(crate) fn text<Row>(
        &self,
        rows: impl IntoIterator<Item = Row>,
        cells: impl Fn(Row) -> Vec<String>,
    ) -> String {
        let titles = self.columns.iter().map(|(title, ..)| (*title).to_owned());
        let mut lines: Vec<Vec<String>> = vec![titles.collect()];
        lines.extend(rows.into_iter().map(cells));
        let longest = |number: usize, skipped: usize| {
            let cells = lines.iter().skip(skipped).map(|cells| cells[number].len());
            cells.max().unwrap_or(0)
        };
        let numbered = self.columns.iter().enumerate();
        let widths = numbered.map(|(number, (_, width, _))| match width {
            Width::Exactly(width) => *width,
            Width::AtLeast(least) => longest(number, 1).max(*least),
            Width::Widest => longest(number, 0),
            Width::Unpadded => 0,
        });
        let widths: Vec<usize> = widths.collect();
        let line = |cells: &Vec<String>| {
            let printed = cells.iter().zip(&widths).zip(&self.columns);
            let printed = printed.filter(|(_, (.., printed))| *printed);
            let padded = printed.map(|((cell, width), _)| format!("{cell:<width$}"));
            padded.collect::<Vec<_>>().join(self.separator) + self.end
        };
        lines.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_say() {
        let text = |table: &Table, rows: &[(&str, i32)]| {
            table.text(rows, |row| cells![row.0, row.0, row.1, row.1])
        };
        let rows = [("a", 1), ("abcd", 22)];
        let table =
            |wide: bool| Table::new("EXACT=3 | LEAST>=2 | WIDE=4 | LAST").only_if(wide, &["WIDE"]);
        let expected = "EXACT LEAST WIDE LAST\na   a    1    1\nabcd abcd 22   22\n";
        assert_eq!(text(&table(true), &rows), expected);
        let expected = "EXACT LEAST LAST\na   a    1\nabcd abcd 22\n";
        assert_eq!(text(&table(false), &rows), expected);
        let expected = "EXACT LEAST WIDE   LAST\na   a  1      1\n";
        assert_eq!(text(&table(true).wide(6, &["WIDE"]), &rows[..1]), expected);
        let table = Table::with_tabs("First | Second | Third | Fourth");
        let expected = "First\tSecond\tThird\tFourth\t\na    \ta     \t1    \t1     \t\n\
                        abcd \tabcd  \t22   \t22    \t\n";
        assert_eq!(text(&table, &rows), expected);
    }
}
