//! One measurement as the feeding program reads it: a row of words, shared with user space through an array map.
//!
//! The headers of flow `i` are those of the template but for these fields: the lower 16 bits of the source address and
//! the source port; what makes up for them, so that checksums stay right: in IPv4 the identification, in TCP, where the
//! case asks for it, the sequence number.

/// Words of a case.
pub(crate) const WORDS: usize = 32;
/// A case.
pub(crate) type Case = [u64; WORDS];

/// Words of the template: this many bytes of every frame are known.
pub(crate) const TEMPLATE_WORDS: usize = 12;
/// Template words written afresh before every run; 0: the two hardware addresses and the flow's fields alone, which is
/// all that MAC forwarding changes.
pub(crate) const REWRITE: usize = 12;
/// [`PLACE_NONE`], [`PLACE_V4`] or [`PLACE_V6`].
pub(crate) const PLACE: usize = 13;
/// The word that holds the end of the source address, with those 16 bits 0.
pub(crate) const SOURCE: usize = 14;
/// The word of the two ports, as it stands in the header, with source port 0.
pub(crate) const PORTS: usize = 15;
/// Number of the next run's flow.
pub(crate) const NEXT: usize = 16;
/// Flows less one: the number is taken modulo this, a power of two.
pub(crate) const MASK: usize = 17;
/// Odd; multiplied with the number, so that flows come in another order than they were made.
pub(crate) const STRIDE: usize = 18;
/// Bits of the number that go into the address; the others go into the port.
pub(crate) const ADDRESS_BITS: usize = 19;

/// Not 0: every flow comes twice in a row, with a TCP SYN first and an ACK then. It is how flows are opened.
pub(crate) const TWICE: usize = 20;
/// Not 0: the TCP sequence number is the complement of source port and address.
pub(crate) const SUMMED: usize = 21;
/// Index of the interface that frames are sent out of.
pub(crate) const INTERFACE: usize = 22;

/// No flow: every frame is the template.
#[allow(dead_code, reason = "the program tells the other two apart; user space names all three")]
pub(crate) const PLACE_NONE: u64 = 0;
/// An IPv4 header behind the Ethernet header, without options.
pub(crate) const PLACE_V4: u64 = 4;
/// An IPv6 header behind the Ethernet header.
pub(crate) const PLACE_V6: u64 = 6;

/// Source ports start here.
pub(crate) const FIRST_PORT: u64 = 1024;
/// XDP actions that are told apart.
pub(crate) const ACTIONS: usize = 8;
