//! Where the body of an HTTP/1.1 answer is, and where it ends: RFC 9112 section 6.3 and 7.1.

/// The length of a chunk has at most so many digits: 2^60 bytes are nobody's body.
const DIGITS: usize = 15;
/// Extensions of chunks and trailers are read over up to so many bytes in all.
const IDLE: usize = 4 * 1_024;

/// How the body is framed.
#[derive(Debug)]
pub(super) enum Framing {
    /// There is none.
    Empty,
    /// So many bytes are missing yet.
    Length(u64),
    /// Until the server closes.
    UntilClosed,
    /// In chunks.
    Chunked(Chunks),
}

/// What comes next of a chunked body.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    at: At,
    /// Bytes of extensions and trailers seen so far.
    idle: usize,
}

#[derive(Debug)]
enum At {
    /// In the length; digits seen, value.
    Size { digits: usize, length: u64 },
    /// Behind it, in an extension or before the line feed.
    Extension { length: u64 },
    /// In the data.
    Data { left: u64 },
    /// Behind the data, before the line feed.
    DataEnd,
    /// In the trailers; whether this line has anything but a carriage return.
    Trailer { filled: bool },
}

impl Default for At {
    fn default() -> Self {
        Self::Size { digits: 0, length: 0 }
    }
}

/// What the front of some bytes is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// These are of the body.
    Data(&'a [u8]),
    /// All bytes are read and more have to come.
    More,
    /// The body is complete.
    End,
    /// The framing is broken: what was expected, and what came in its place.
    Broken(&'static str, u8),
}

impl Framing {
    /// Takes the next part from the front of `bytes`.
    pub(super) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Part<'a> {
        match self {
            Self::Empty | Self::Length(0) => Part::End,
            _ if bytes.is_empty() => Part::More,
            Self::Length(left) => Part::Data(take(bytes, left)),
            Self::UntilClosed => Part::Data(std::mem::take(bytes)),
            Self::Chunked(chunks) => chunks.next(bytes),
        }
    }

    /// Whether the server closing is the end of the body.
    pub(super) const fn ends_with_close(&self) -> bool {
        matches!(self, Self::UntilClosed)
    }
}

impl Chunks {
    fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Part<'a> {
        while let Some((&byte, rest)) = bytes.split_first() {
            if let At::Data { left } = &mut self.at {
                let data = take(bytes, left);
                if *left == 0 {
                    self.at = At::DataEnd;
                }
                return Part::Data(data);
            }
            *bytes = rest;
            match self.framing(byte) {
                Ok(false) => {}
                Ok(true) => return Part::End,
                Err(expected) => return Part::Broken(expected, byte),
            }
        }
        Part::More
    }

    /// One byte that is not data; whether the body ends with it.
    fn framing(&mut self, byte: u8) -> Result<bool, &'static str> {
        match (&mut self.at, byte) {
            (At::Size { digits, length }, _) if byte.is_ascii_hexdigit() => {
                *digits += 1;
                if *digits > DIGITS {
                    return Err("the length of a chunk");
                }
                *length = *length << 4 | u64::from(digit(byte));
            }
            (At::Size { digits: 0, .. }, _) => return Err("the length of a chunk"),
            (At::Size { length, .. }, b';' | b' ' | b'\t' | b'\r') => {
                self.at = At::Extension { length: *length }
            }
            (At::Size { length, .. } | At::Extension { length }, b'\n') => self.at = behind_size(*length),
            (At::Size { .. }, _) => return Err("the length of a chunk"),
            (At::Extension { .. }, _) => self.idle += 1,
            (At::DataEnd, b'\r') => self.idle += 1,
            (At::DataEnd, b'\n') => self.at = At::default(),
            (At::DataEnd, _) => return Err("the end of a chunk"),
            (At::Trailer { filled: false }, b'\n') => return Ok(true),
            (At::Trailer { filled }, b'\n') => *filled = false,
            (At::Trailer { filled }, _) => {
                *filled |= byte != b'\r';
                self.idle += 1;
            }
            // `Self::next` takes data itself.
            (At::Data { .. }, _) => return Err("data of a chunk"),
        }
        if self.idle > IDLE { Err("less between chunks") } else { Ok(false) }
    }
}

/// The last chunk has no data (RFC 9112 section 7.1).
const fn behind_size(length: u64) -> At {
    if length == 0 { At::Trailer { filled: false } } else { At::Data { left: length } }
}

const fn digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        _ => byte.wrapping_sub(b'A').wrapping_add(10),
    }
}

/// Up to `left` bytes from the front.
fn take<'a>(bytes: &mut &'a [u8], left: &mut u64) -> &'a [u8] {
    let count = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
    let (data, rest) = bytes.split_at(count);
    *bytes = rest;
    *left -= count as u64;
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut framing: Framing, mut bytes: &[u8]) -> (Vec<u8>, Part<'_>) {
        let mut body = Vec::new();
        loop {
            match framing.next(&mut bytes) {
                Part::Data(data) => body.extend_from_slice(data),
                end => return (body, end),
            }
        }
    }

    fn chunked(bytes: &[u8]) -> (Vec<u8>, Part<'_>) {
        read(Framing::Chunked(Chunks::default()), bytes)
    }

    #[test]
    fn chunks_make_a_body_without_lengths_extensions_and_trailers() {
        let (body, end) =
            chunked(b"4;name=value\r\nWiki\r\nA \r\npedia in c\n2\nhu\r\n0\r\nTrailer: x\r\n\r\n");
        assert_eq!((body.as_slice(), end), (&b"Wikipedia in chu"[..], Part::End));
    }

    #[test]
    fn a_length_is_kept_and_what_follows_is_not_read() {
        assert_eq!(read(Framing::Length(3), b"abcdef"), (b"abc".to_vec(), Part::End));
        assert_eq!(read(Framing::Length(9), b"abcdef"), (b"abcdef".to_vec(), Part::More));
        assert_eq!(read(Framing::Length(u64::MAX), b"abc"), (b"abc".to_vec(), Part::More));
        assert_eq!(read(Framing::Empty, b"abc"), (Vec::new(), Part::End));
    }

    #[test]
    fn broken_chunks_are_broken() {
        for bytes in [&b"\r\n"[..], b"x", b"-1\r\n", b"4\r\nWikipedia", b"1234567890123456\r\n", b"4x\r\n"] {
            assert!(matches!(chunked(bytes).1, Part::Broken(..)), "{bytes:?}");
        }
    }

    #[test]
    fn endless_extensions_and_trailers_are_broken() {
        let mut extension = b"4;".to_vec();
        extension.extend([b'x'; 2 * IDLE]);
        assert!(matches!(chunked(&extension).1, Part::Broken(..)));
        let mut trailers = b"0\r\n".to_vec();
        trailers.extend(b"A: b\r\n".repeat(IDLE));
        assert!(matches!(chunked(&trailers).1, Part::Broken(..)));
    }
}
