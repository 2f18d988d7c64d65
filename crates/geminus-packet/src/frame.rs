//! How one frame is touched.

use crate::wire::Header;

/// One Ethernet frame, from the destination address on, without its check sequence.
pub trait Frame {
    /// Length in bytes.
    fn length(&self) -> usize;
    /// The header that starts `at` bytes into the frame; none if it does not fit.
    fn get<H: Header>(&self, at: usize) -> Option<&H>;
    /// As [`get`](Self::get), to be written.
    fn get_mut<H: Header>(&mut self, at: usize) -> Option<&mut H>;
    /// Makes the frame longer at its end; false, and nothing changed, if there is no room. The new bytes are to be
    /// written by the caller.
    fn grow_back(&mut self, by: usize) -> bool;
    /// Makes the frame so short, by its end; one that is shorter stays as it is.
    fn cut(&mut self, length: usize);
    /// Forgets what was checked. What a path has checked of the frame would otherwise be carried, and told apart by the
    /// verifier, through everything that follows.
    fn refresh(&mut self) {}
}

#[cfg(feature = "std")]
pub use slice::SliceFrame;

#[cfg(feature = "std")]
mod slice {
    #![allow(unsafe_code, reason = "turns checked bytes into a header of alignment 1")]
    use super::{Frame, Header};

    /// A frame in a buffer of its own: the host's home of the packet path.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct SliceFrame {
        bytes: std::vec::Vec<u8>,
    }

    impl SliceFrame {
        /// A frame of these bytes.
        pub fn new(bytes: impl Into<std::vec::Vec<u8>>) -> Self {
            Self { bytes: bytes.into() }
        }

        /// Its bytes.
        pub fn bytes(&self) -> &[u8] {
            &self.bytes
        }
    }

    impl Frame for SliceFrame {
        fn length(&self) -> usize {
            self.bytes.len()
        }

        fn get<H: Header>(&self, at: usize) -> Option<&H> {
            let bytes = self.bytes.get(at..at.checked_add(size_of::<H>())?)?;
            // SAFETY: the slice has the size of `H`, and a `Header` is valid for any bytes at any address.
            Some(unsafe { &*bytes.as_ptr().cast::<H>() })
        }

        fn get_mut<H: Header>(&mut self, at: usize) -> Option<&mut H> {
            let bytes = self.bytes.get_mut(at..at.checked_add(size_of::<H>())?)?;
            // SAFETY: as in `get`, and the borrow is unique.
            Some(unsafe { &mut *bytes.as_mut_ptr().cast::<H>() })
        }

        fn grow_back(&mut self, by: usize) -> bool {
            self.bytes.resize(self.bytes.len() + by, 0);
            true
        }

        fn cut(&mut self, length: usize) {
            self.bytes.truncate(length);
        }
    }
}
