//! The Internet checksum as RFC 1071 section 1 puts it, byte by byte: slow, plain, and nobody's relative.

/// Ones' complement sum of the 16-bit words of `bytes`; an odd last byte is the upper half of a word.
pub fn sum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for (at, byte) in bytes.iter().enumerate() {
        sum += u32::from(*byte) << if at % 2 == 0 { 8 } else { 0 };
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The checksum to be written where `bytes` have zeros.
pub fn of(bytes: &[u8]) -> [u8; 2] {
    (!sum(bytes)).to_be_bytes()
}

/// Whether bytes that contain their checksum have the right one.
pub fn is_right(bytes: &[u8]) -> bool {
    sum(bytes) == 0xffff
}

/// What is summed with a transport message: RFC 793 section 3.1, RFC 8200 section 8.1.
pub fn pseudo_header(source: &[u8], destination: &[u8], protocol: u8, length: usize) -> Vec<u8> {
    let mut pseudo = [source, destination].concat();
    pseudo.extend_from_slice(&(length as u32).to_be_bytes());
    pseudo.extend_from_slice(&[0, 0, 0, protocol]);
    pseudo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071_section_3_sums_to_ddf2() {
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
    }

    #[test]
    fn a_message_with_its_own_checksum_is_right_and_with_any_other_byte_it_is_not() {
        let mut message = vec![8, 0, 0, 0, 1, 2, 3, 4, 0xff];
        let checksum = of(&message);
        message[2..4].copy_from_slice(&checksum);
        assert!(is_right(&message));
        message[8] ^= 1;
        assert!(!is_right(&message));
    }
}
