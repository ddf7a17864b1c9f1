//! Tables without lines: columns padded with blanks, no blanks at line ends.

use comfy_table::{Table as Grid, presets};

use super::printable;

/// Blanks between columns, where a table does not say otherwise.
const GAP: u16 = 3;

/// Rows under a header.
pub struct Table {
    grid: Grid,
}

impl Table {
    /// A table with these column titles.
    pub fn new(titles: &[&str]) -> Self {
        let mut grid = Grid::new();
        grid.load_style(presets::NOTHING);
        grid.set_header(titles.to_vec());
        let mut table = Self { grid };
        table.set_gaps(&vec![GAP; titles.len()]);
        table
    }

    /// A table whose columns are followed by other numbers of blanks.
    pub fn with_gaps(titles: &[&str], gaps: &[u16]) -> Self {
        let mut table = Self::new(titles);
        table.set_gaps(gaps);
        table
    }

    fn set_gaps(&mut self, gaps: &[u16]) {
        for (column, gap) in self.grid.column_iter_mut().zip(gaps) {
            column.set_padding((0, *gap));
        }
    }

    /// Adds a row; texts from the server are made safe.
    pub fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.grid.add_row(cells.map(|cell| printable::one_line(cell).into_owned()));
    }

    /// The same for a table whose number of columns is not fixed.
    pub fn cells(&mut self, cells: &[String]) {
        self.grid.add_row(cells.iter().map(|cell| printable::one_line(cell).into_owned()));
    }

    /// The lines, without a line end after the last.
    pub fn text(&self) -> String {
        self.grid.trim_fmt()
    }
}

/// The day of an RFC 3339 time.
pub fn day(time: &str) -> &str {
    time.get(..10).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_byte_for_byte() {
        let mut table = Table::with_gaps(&["SECRET NAME", "INJECTION", "LAST UPDATED"], &[3, 4, 0]);
        table.row(["GITHUB_TOKEN", "Authorization", "2026-03-15"]);
        table.row(["WEBHOOK_SECRET", "X-Webhook-Secret", "2026-03-10"]);
        let expected = "\
SECRET NAME      INJECTION           LAST UPDATED
GITHUB_TOKEN     Authorization       2026-03-15
WEBHOOK_SECRET   X-Webhook-Secret    2026-03-10";
        assert_eq!(table.text(), expected);
    }

    #[test]
    fn long_and_strange_cells() {
        let mut table = Table::new(&["SLUG", "URL"]);
        table.row(["a\u{1b}[1m\nb", &"x".repeat(300)]);
        let text = table.text();
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains("a\\u{1b}[1m\\u{a}b   xxx") && !text.contains('\u{1b}'));
    }
}
