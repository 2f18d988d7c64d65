//! What is wrong with a file, where, and the way out.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::position::{Position, Positions};
use crate::limits;

/// One thing found in a configuration file, an error or a warning.
///
/// Displayed as one line, `FILE:LINE:COLUMN: message (hint)`, free of control characters whatever the file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file as it was named to the parser.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What sort of finding it is.
    pub kind: FindingKind,
    /// The thing and the cause.
    pub message: String,
    /// The way out, usually the nearest right thing.
    pub hint: Option<String>,
}

/// What sort of finding it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FindingKind {
    /// The text is not TOML.
    Syntax,
    /// A key nobody knows.
    UnknownKey,
    /// A key or word that is reserved for a later version.
    NotInThisVersion,
    /// A value of the wrong type.
    Type,
    /// A value that cannot be.
    Value,
    /// A key that must be there.
    Missing,
    /// A name that nothing in the file has.
    UnknownName,
    /// Two things that contradict each other.
    Conflict,
    /// More than fits.
    Limit,
    /// Allowed, but hardly meant.
    Doubtful,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", Escaped(&self.file), self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

/// Every error of one file, sorted by position; displayed one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
    omitted: usize,
}

impl ConfigErrors {
    /// The errors, sorted by position; at least one, at most [`limits::FINDINGS`].
    pub fn errors(&self) -> &[Finding] {
        &self.errors
    }

    /// The warnings, sorted by position.
    pub fn warnings(&self) -> &[Finding] {
        &self.warnings
    }

    /// How many further errors were found and not kept.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// One error that is no matter of a single key.
    pub(super) fn one(file: &str, position: Position, kind: FindingKind, problem: Problem) -> Self {
        Self {
            errors: vec![finding(&file.into(), position, kind, problem)],
            warnings: Vec::new(),
            omitted: 0,
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        if self.omitted > 0 {
            write!(f, "\n{} further errors are not shown (mend these first)", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// A message and the way out, not yet at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Problem {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Collects what is found on the way through one file.
pub(super) struct Report<'i> {
    file: Arc<str>,
    positions: Positions<'i>,
    errors: Vec<(usize, FindingKind, Problem)>,
    warnings: Vec<(usize, Problem)>,
    /// Parts of the file in which only errors of syntax can be believed.
    distrusted: Vec<Range<usize>>,
    omitted: usize,
}

impl<'i> Report<'i> {
    pub(super) fn new(file: &str, text: &'i str) -> Self {
        Self {
            file: file.into(),
            positions: Positions::new(text),
            errors: Vec::new(),
            warnings: Vec::new(),
            distrusted: Vec::new(),
            omitted: 0,
        }
    }

    pub(super) fn position(&self, offset: usize) -> Position {
        self.positions.of(offset)
    }

    pub(super) fn error(&mut self, offset: usize, kind: FindingKind, problem: Problem) {
        if self.is_full() {
            self.omit();
        } else {
            self.errors.push((offset, kind, problem));
        }
    }

    /// Whether a further error is only counted, so that its words need not be found.
    pub(super) fn is_full(&self) -> bool {
        self.errors.len() >= limits::FINDINGS
    }

    /// Counts an error without keeping it.
    pub(super) fn omit(&mut self) {
        self.omitted += 1;
    }

    pub(super) fn warn(&mut self, offset: usize, problem: Problem) {
        if self.warnings.len() < limits::FINDINGS {
            self.warnings.push((offset, problem));
        }
    }

    /// Whether the file is free of errors so far.
    pub(super) fn is_clean(&self) -> bool {
        self.errors.is_empty()
    }

    /// Says that what the parser made of a part of the file is a guess.
    pub(super) fn distrust(&mut self, part: Range<usize>) {
        self.distrusted.push(part);
    }

    /// Takes back what only follows from broken syntax: anything else on the same line or in a distrusted part, and
    /// the absence of things that the parser may have had to skip.
    pub(super) fn without_echoes_of_syntax(mut self) -> Self {
        let is_syntax = |kind: FindingKind| kind == FindingKind::Syntax;
        let line = |offset: usize| self.positions.of(offset).line;
        let syntax = self.errors.iter().filter(|(_, kind, _)| is_syntax(*kind));
        let broken: HashSet<usize> = syntax.map(|(offset, ..)| line(*offset)).collect();
        if !broken.is_empty() {
            self.distrusted.sort_by_key(|part| part.start);
            self.errors.retain(|(offset, kind, _)| match kind {
                FindingKind::Syntax => true,
                FindingKind::Missing | FindingKind::UnknownName => false,
                _ => !broken.contains(&self.positions.of(*offset).line) && !covers(&self.distrusted, *offset),
            });
        }
        self
    }

    /// The warnings if there is no error, else everything.
    pub(super) fn finish(mut self) -> Result<Vec<Finding>, ConfigErrors> {
        self.errors.sort_by_key(|(offset, ..)| *offset);
        self.warnings.sort_by_key(|(offset, _)| *offset);
        let at = |offset| self.positions.of(offset);
        let warnings: Vec<_> = self
            .warnings
            .into_iter()
            .map(|(offset, problem)| finding(&self.file, at(offset), FindingKind::Doubtful, problem))
            .collect();
        if self.errors.is_empty() {
            return Ok(warnings);
        }
        let errors = self
            .errors
            .into_iter()
            .map(|(offset, kind, problem)| finding(&self.file, at(offset), kind, problem))
            .collect();
        Err(ConfigErrors { errors, warnings, omitted: self.omitted })
    }
}

/// Whether one of the parts covers the offset; they are sorted by start and do not overlap.
fn covers(parts: &[Range<usize>], offset: usize) -> bool {
    let before = parts.partition_point(|part| part.start <= offset);
    before > 0 && offset < parts[before - 1].end
}

fn finding(file: &Arc<str>, at: Position, kind: FindingKind, problem: Problem) -> Finding {
    Finding {
        file: Arc::clone(file),
        line: at.line,
        column: at.column,
        kind,
        message: Escaped(&problem.message).to_string(),
        hint: problem.hint.map(|hint| Escaped(&hint).to_string()),
    }
}

/// Text of the file in backticks, escaped, and cut where nobody would read on.
pub(super) struct Quoted<'a>(pub(super) &'a str);

/// Characters of a quotation: a name at its limit is shown whole.
const QUOTED: usize = limits::NAME_BYTES;

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(QUOTED) {
            None => write!(f, "`{}`", Escaped(self.0)),
            Some((end, _)) => write!(f, "`{}…`", Escaped(&self.0[..end])),
        }
    }
}

/// Text that cannot move the cursor, colour the terminal, break the line or turn the reading direction.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if is_treacherous(character) {
                write!(f, "{}", character.escape_unicode())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

/// Control characters, line and paragraph separators, zero-width and bidirectional formatting characters.
fn is_treacherous(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}')
}
