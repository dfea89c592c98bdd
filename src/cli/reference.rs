//! How datasets and versions are named on the command line: `ORG/NAME` and `ORG/NAME@VERSION`.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A dataset, and perhaps one of its versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetRef {
    /// The provider's handle.
    pub organisation: String,
    /// The dataset's name.
    pub name: String,
    /// The version's number; the newest when absent.
    pub version: Option<i32>,
}

impl DatasetRef {
    /// The API path of the dataset.
    pub fn path(&self) -> String {
        format!("/v1/datasets/{}/{}", self.organisation, self.name)
    }
    /// The API path of one of its versions.
    pub fn version_path(&self, version: i32) -> String {
        format!("{}/versions/{version}", self.path())
    }
    /// `org/name`, without a version.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.organisation, self.name)
    }
}

impl FromStr for DatasetRef {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not of the form ORG/NAME or ORG/NAME@VERSION");
        let (dataset, version) = match text.rsplit_once('@') {
            Some((dataset, version)) => (dataset, Some(number(version).ok_or_else(wrong)?)),
            None => (text, None),
        };
        let (organisation, name) = dataset.split_once('/').ok_or_else(wrong)?;
        // It becomes a segment of a path, where dots alone would lead elsewhere.
        let plain = |part: &str| {
            part.contains(|c: char| c != '.') && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        if !plain(organisation) || !plain(name) {
            return Err(wrong());
        }
        Ok(Self { organisation: organisation.to_string(), name: name.to_string(), version })
    }
}

/// The number of a version, which are counted from 1: `3` or `v3`.
fn number(version: &str) -> Option<i32> {
    let digits = version.strip_prefix('v').unwrap_or(version);
    let is_plain = digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|number: &i32| is_plain && *number > 0)
}

impl fmt::Display for DatasetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.organisation, self.name)?;
        self.version.map_or(Ok(()), |version| write!(f, "@{version}"))
    }
}

impl Serialize for DatasetRef {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_optional_and_may_carry_a_v() {
        let parse = |text: &str| text.parse::<DatasetRef>();
        assert_eq!(parse("acme/poems").unwrap().version, None);
        assert_eq!(parse("acme/poems@3").unwrap().version, Some(3));
        assert_eq!(parse("acme/poems@v3").unwrap().version, Some(3));
        for bad in ["acme", "acme/", "/poems", "acme/po ems", "a/b/c", "../poems", "acme/."] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        for bad in ["x", "", "v", "vv3", "-3", "+3", "0", "3.0", "9999999999"] {
            assert!(parse(&format!("acme/poems@{bad}")).is_err(), "{bad}");
        }
    }
}
