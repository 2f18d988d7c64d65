//! Pages of aligned text: labelled lines and tables.

use unicode_width::UnicodeWidthStr;

use crate::screen::{Look, Tone, clean};

/// Space between two columns.
const GAP: usize = 2;

/// A piece of text with its meaning; a field of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// Text in a tone.
    pub(crate) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone }
    }

    /// Plain text; `-` where there is none, so that every line of a table has the same number of words.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        let text = text.into();
        if text.is_empty() { Self::new(Tone::Faint, "-") } else { Self::new(Tone::Plain, text) }
    }

    fn width(&self) -> usize {
        clean(&self.text).width()
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::plain(text)
    }
}

/// On which side a column is padded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Figures.
    Right,
}

/// Rows under a heading.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns.
    pub(crate) fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row, one cell for each column.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns.len(), "a row has a cell for each column");
        self.rows.push(cells);
    }

    fn widths(&self) -> Vec<usize> {
        let widest = |column: usize| self.rows.iter().map(|row| row[column].width()).max().unwrap_or(0);
        self.columns.iter().enumerate().map(|(index, (name, _))| name.width().max(widest(index))).collect()
    }

    fn write(&self, look: Look, out: &mut String) {
        let widths = self.widths();
        let heading: Vec<Cell> =
            self.columns.iter().map(|(name, _)| Cell::new(Tone::Strong, *name)).collect();
        for row in std::iter::once(&heading).chain(&self.rows) {
            self.write_row(row, &widths, look, out);
        }
    }

    fn write_row(&self, row: &[Cell], widths: &[usize], look: Look, out: &mut String) {
        let last = row.len() - 1;
        for (index, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[index] - cell.width());
            let text = look.paint(cell.tone, &cell.text);
            match self.columns[index].1 {
                Align::Right => out.extend([padding.as_str(), &text]),
                // No white space at the end of a line.
                Align::Left if index == last => out.push_str(&text),
                Align::Left => out.extend([text.as_str(), &padding]),
            }
            if index != last {
                out.push_str(&" ".repeat(GAP));
            }
        }
        out.push('\n');
    }
}

/// Text for one look, built from top to bottom.
#[derive(Debug)]
pub(crate) struct Page {
    look: Look,
    text: String,
}

impl Page {
    /// An empty page.
    pub(crate) fn new(look: Look) -> Self {
        Self { look, text: String::new() }
    }

    /// Whom the page is for.
    pub(crate) fn look(&self) -> Look {
        self.look
    }

    /// An empty line, except at the top.
    pub(crate) fn gap(&mut self) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
    }

    /// One line of several pieces, one space between them.
    pub(crate) fn line(&mut self, pieces: &[Cell]) {
        let painted: Vec<String> =
            pieces.iter().map(|piece| self.look.paint(piece.tone, &piece.text)).collect();
        self.text.push_str(&painted.join(" "));
        self.text.push('\n');
    }

    /// Lines of a label and what it says, aligned.
    pub(crate) fn labelled(&mut self, lines: &[(&str, Cell)]) {
        let width = lines.iter().map(|(label, _)| label.width()).max().unwrap_or(0) + GAP;
        for (label, cell) in lines {
            let padding = " ".repeat(width - label.width());
            let (label, text) = (self.look.paint(Tone::Faint, label), self.look.paint(cell.tone, &cell.text));
            self.text.extend([label.as_str(), &padding, &text, "\n"]);
        }
    }

    /// A table.
    pub(crate) fn table(&mut self, table: &Table) {
        table.write(self.look, &mut self.text);
    }

    /// The finished text.
    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Look = Look { colour: false, eyes: true };

    fn page(look: Look) -> String {
        let mut table = Table::new(&[("NAME", Align::Left), ("N", Align::Right), ("NOTE", Align::Left)]);
        table.row(vec!["東京".into(), "1".into(), "".into()]);
        table.row(vec![Cell::new(Tone::Good, "web\n1"), "1000".into(), "x".into()]);
        let mut page = Page::new(look);
        page.table(&table);
        page.into_text()
    }

    #[test]
    fn columns_align_by_what_is_seen() {
        assert_eq!(page(PLAIN), "NAME       N  NOTE\n東京       1  -\nweb\\n1  1000  x\n");
    }

    #[test]
    fn colour_does_not_move_a_column() {
        let strip = |text: &str| {
            let mut out = String::new();
            let mut rest = text;
            while let Some((before, after)) = rest.split_once('\u{1b}') {
                out.push_str(before);
                rest = after.split_once('m').expect("a sequence ends").1;
            }
            out + rest
        };
        let coloured = page(Look { colour: true, eyes: true });
        assert_ne!(coloured, page(PLAIN));
        assert_eq!(strip(&coloured), page(PLAIN));
    }

    #[test]
    fn labels_align() {
        let mut page = Page::new(PLAIN);
        page.labelled(&[("node", "alpha".into()), ("program", "eth0".into())]);
        page.gap();
        page.line(&["a".into(), "b".into()]);
        assert_eq!(page.into_text(), "node     alpha\nprogram  eth0\n\na b\n");
    }
}
