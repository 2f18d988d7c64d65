//! The right thing nearest to a wrong one.

/// Longest word that is compared: no key, word or name is longer, and the distance costs the product of the lengths.
const LONGEST: usize = 64;

/// The candidate that was probably meant, if any is close enough.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    let word = folded(word);
    candidates
        .into_iter()
        .filter_map(|candidate| Some((distance(&word, &folded(candidate))?, candidate)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Case and the choice of separator are never what somebody meant to say.
fn folded(word: &str) -> String {
    word.to_lowercase().replace(['-', ' '], "_")
}

fn distance(word: &str, candidate: &str) -> Option<usize> {
    let edits = strsim::damerau_levenshtein(word, candidate);
    let allowed = (word.chars().count().max(candidate.chars().count()) / 3).clamp(1, 3);
    if edits <= allowed && edits < candidate.chars().count() {
        return Some(edits);
    }
    let abbreviates = word.len() >= 3 && candidate.starts_with(word);
    let extends = candidate.len() >= 3 && word.starts_with(candidate);
    (abbreviates || extends).then_some(allowed + 1)
}

/// The powers of two below and above, for a number that is none.
pub(super) fn powers_of_two_around(number: u64) -> (u64, u64) {
    let above = number.next_power_of_two();
    (above / 2, above)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_word_and_a_stranger_finds_none() {
        let words = ["address", "addresses", "interface", "port", "protocol"];
        for (word, meant) in [
            ("adress", Some("address")),
            ("Addresses", Some("addresses")),
            ("adresses", Some("addresses")),
            ("prot", Some("port")),
            ("inter", Some("interface")),
            ("proto", Some("protocol")),
            ("zebra", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(nearest(word, words), meant, "{word}");
        }
        assert_eq!(nearest(&"a".repeat(100_000), words), None);
        assert_eq!(nearest("tcp-fin", ["tcp_rst", "tcp_fin"]), Some("tcp_fin"));
    }

    #[test]
    fn powers_of_two_enclose_the_number() {
        assert_eq!(powers_of_two_around(1_000_000), (524_288, 1_048_576));
        assert_eq!(powers_of_two_around(3), (2, 4));
    }
}
