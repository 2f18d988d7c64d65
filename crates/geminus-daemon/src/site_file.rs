//! The configuration file, read from disk.

use std::path::Path;

use geminus_core::config;
use geminus_core::model::{Node, Site};

use crate::error::RunError;

/// Warnings that are logged at every start and reload.
const WARNINGS_TOLD: usize = 10;

/// Reads the whole site; what is odd about it is logged.
pub(crate) fn read(file: &Path) -> Result<Site, RunError> {
    let bytes = std::fs::read(file).map_err(|error| RunError::ConfigFile { file: file.to_owned(), error })?;
    match config::parse_bytes(&bytes, &file.display().to_string()) {
        Ok(parsed) => {
            for warning in parsed.warnings.iter().take(WARNINGS_TOLD) {
                tracing::info!("{warning}");
            }
            if let Some(untold @ 1..) = parsed.warnings.len().checked_sub(WARNINGS_TOLD) {
                tracing::info!("and {untold} more warnings; geminus check shows them");
            }
            Ok(parsed.site)
        }
        Err(errors) => Err(RunError::Config { file: file.to_owned(), errors }),
    }
}

/// First 16 hexadecimal digits of the site's digest.
pub(crate) fn digest(site: &Site) -> String {
    config::digest(site).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The node this machine is: the one named, or the one with the host's name (with or without its domain).
pub(crate) fn node(site: &Site, named: Option<&str>) -> Result<Node, RunError> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let short = host.split('.').next().unwrap_or(&host);
    let by_name = |name: &str| site.nodes.iter().find(|node| node.name == name);
    let found = match named {
        Some(name) => by_name(name),
        None => by_name(&host).or_else(|| by_name(short)),
    };
    found.cloned().ok_or_else(|| RunError::Node {
        wanted: named.map_or_else(|| host.clone(), str::to_owned),
        is_host_name: named.is_none(),
        there_are: site.nodes.iter().map(|node| node.name.clone()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = r#"
        [node.alpha]
        address = "198.51.100.11"
        interface = "eth0"
        [cluster.shop]
        addresses = ["198.51.100.80"]
        primary = "alpha"
        [[cluster.shop.service]]
        port = 80
        servers = [{ name = "web1", address = "198.51.100.21" }]
    "#;

    #[test]
    fn a_node_that_is_not_there_is_refused_with_those_that_are() {
        let site = config::parse(SITE, "site.toml").expect("a sound site");
        assert_eq!(node(&site, Some("alpha")).expect("it is there").name, "alpha");
        let error = node(&site, Some("gamma")).expect_err("it is not there");
        assert_eq!(error.to_string(), "the site has no node gamma");
        assert!(error.hint().is_some_and(|hint| hint.ends_with(": alpha")));
        assert!(error.is_wrong_use());
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("/nonexistent/geminus.toml")).expect_err("it is not there");
        assert!(error.to_string().contains("/nonexistent/geminus.toml"));
    }

    #[test]
    fn every_error_of_a_file_is_a_line_of_its_own() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("geminus.toml");
        std::fs::write(&file, "[node.alpha]\naddress = 7\ninterfase = \"eth0\"\n").expect("written");
        let error = read(&file).expect_err("it has errors");
        assert!(error.details().len() > 1, "{:?}", error.details());
        assert!(error.details().iter().all(|line| line.contains("geminus.toml:")));
    }
}
