// A site as large as one likes, in documentation addresses; shared by a test and by the example that measures it.

use std::fmt::Write as _;

/// The text of a site with that many clusters of one service each, and that many servers behind each service.
pub(crate) fn large_site(clusters: u32, servers: u32) -> String {
    let mut text = "[node.alpha]\naddress = \"2001:db8::1\"\ninterface = \"eth0\"\n".to_string();
    for cluster in 0..clusters {
        let _ = write!(
            text,
            "\n[cluster.c{cluster}]\naddresses = [\"2001:db8:c::{cluster:x}\"]\n\n\
             [[cluster.c{cluster}.service]]\nport = 80\nservers = [\n"
        );
        for server in 0..servers {
            let _ = writeln!(
                text,
                "  {{ name = \"s{server}\", address = \"2001:db8:5:{cluster:x}::{:x}\", weight = {} }},",
                server + 1,
                1 + server % 10
            );
        }
        text += "]\n";
    }
    text
}
