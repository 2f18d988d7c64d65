//! From a byte offset to the line and column a person looks for.

/// Line and column, both from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Bytes between two marks: what one look-up scans at most, whether the file is one line or a million.
const STRIDE: usize = 1024;

/// Finds positions in one text.
pub(super) struct Positions<'i> {
    text: &'i str,
    /// For each multiple of [`STRIDE`]: the first character boundary at or after it, and its position.
    marks: Vec<(usize, Position)>,
}

impl<'i> Positions<'i> {
    pub(super) fn new(text: &'i str) -> Self {
        let mut marks = Vec::with_capacity(text.len() / STRIDE + 1);
        let mut position = Position { line: 1, column: 1 };
        for (offset, character) in text.char_indices() {
            if offset >= marks.len() * STRIDE {
                marks.push((offset, position));
            }
            position = after(position, character);
        }
        if marks.is_empty() {
            marks.push((0, position));
        }
        Self { text, marks }
    }

    /// The position of the character at or around `offset`; of the end of the text for anything beyond it.
    pub(super) fn of(&self, offset: usize) -> Position {
        let offset = offset.min(self.text.len());
        let mark = self.marks.partition_point(|(start, _)| *start <= offset).saturating_sub(1);
        let (start, position) = self.marks[mark];
        self.text[start..]
            .char_indices()
            .take_while(|(at, character)| start + at + character.len_utf8() <= offset)
            .fold(position, |position, (_, character)| after(position, character))
    }
}

fn after(position: Position, character: char) -> Position {
    if character == '\n' {
        Position { line: position.line + 1, column: 1 }
    } else {
        Position { line: position.line, column: position.column + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_the_same_as_counted_from_the_start() {
        let text = "aé\n\n€𝄞x\r\n".repeat(400);
        let positions = Positions::new(&text);
        let mut expected = Position { line: 1, column: 1 };
        for (offset, character) in text.char_indices() {
            for inside in 0..character.len_utf8() {
                assert_eq!(positions.of(offset + inside), expected, "offset {offset}+{inside}");
            }
            expected = after(expected, character);
        }
        assert_eq!(positions.of(text.len()), expected);
        assert_eq!(positions.of(usize::MAX), expected);
    }

    #[test]
    fn an_empty_text_has_one_position() {
        assert_eq!(Positions::new("").of(0), Position { line: 1, column: 1 });
    }
}
