//! Where a webhook may lead: public addresses only, so that nobody can use the exchange to reach services inside its own
//! network.
//!
//! A name is resolved, every address that it has is checked, and the connection is made to those addresses and no others: a
//! name that leads elsewhere a moment later leads nowhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use url::{Host, Url};

use crate::error::{Error, Result};

const LONGEST_URL: usize = 2000;
/// How long a name may take to resolve.
const RESOLUTION: Duration = Duration::from_secs(5);

/// IPv4 networks that are not public: IANA's special-purpose registry, multicast and what is reserved.
const CLOSED_V4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// IPv6 is public in 2000::/3 only, which leaves out loopback, unique local and link-local addresses, multicast, IPv4 in
/// disguise (`::ffff:0:0/96`) and NAT64 (`64:ff9b::/96`). Of that, these are not: protocol assignments with Teredo,
/// documentation, 6to4.
const OPEN_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
const CLOSED_V6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// True for an address that belongs to somebody on the public internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            !CLOSED_V4.iter().any(|(net, bits)| v4.to_bits() >> (32 - bits) == net.to_bits() >> (32 - bits))
        }
        IpAddr::V6(v6) => {
            let within = |(net, bits): &(Ipv6Addr, u32)| v6.to_bits() >> (128 - bits) == net.to_bits() >> (128 - bits);
            within(&OPEN_V6) && !CLOSED_V6.iter().any(within)
        }
    }
}

/// The URL of a webhook, read: `https`, or `http` where private networks are open, with no credentials in it.
///
/// # Errors
/// `Invalid`, naming `url`.
pub(super) fn parse(text: &str, private_networks: bool) -> Result<Url> {
    let refused = |why: String| Error::invalid("url", why).remedy("give an https:// URL on the public internet");
    if text.len() > LONGEST_URL {
        return Err(refused(format!("a webhook's URL is at most {LONGEST_URL} characters")));
    }
    let url = Url::parse(text).map_err(|error| refused(format!("{text:?} is not a URL: {error}")))?;
    let may_be_plain = private_networks && url.scheme() == "http";
    if url.scheme() != "https" && !may_be_plain {
        return Err(refused(format!("{text:?} is not an https URL")));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(refused("a webhook's URL holds no user, password or fragment".to_string()));
    }
    Ok(url)
}

/// The addresses that a URL leads to, each of them checked: the connection goes to these.
///
/// # Errors
/// `Invalid`, naming `url` and the address, when one is not public and private networks are not open, and when the name has
/// none.
pub(super) async fn resolve(url: &Url, private_networks: bool) -> Result<Vec<SocketAddr>> {
    let port = url.port_or_known_default().unwrap_or(443);
    let found: Vec<SocketAddr> = match url.host() {
        Some(Host::Ipv4(v4)) => vec![(v4, port).into()],
        Some(Host::Ipv6(v6)) => vec![(v6, port).into()],
        Some(Host::Domain(name)) => look_up(name, port).await?,
        None => Vec::new(),
    };
    if found.is_empty() {
        return Err(unresolved(url.as_str()));
    }
    match found.iter().find(|address| !private_networks && !is_public(address.ip())) {
        None => Ok(found),
        Some(closed) => Err(Error::invalid(
            "url",
            format!("{url} leads to {}, which is not a public address", closed.ip()),
        )
        .remedy(
            "give a URL on the public internet; an exchange in a private network runs with --webhook-private-networks",
        )),
    }
}

async fn look_up(name: &str, port: u16) -> Result<Vec<SocketAddr>> {
    match tokio::time::timeout(RESOLUTION, tokio::net::lookup_host((name, port))).await {
        Ok(Ok(found)) => Ok(found.collect()),
        Ok(Err(error)) => Err(unresolved(name).because(error)),
        Err(_) => Err(unresolved(name)),
    }
}

fn unresolved(name: &str) -> Error {
    Error::invalid("url", format!("{name} has no address")).remedy("check the name, or try later")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn addresses_inside_a_network_are_not_public() {
        for closed in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(closed.parse().unwrap()), "{closed}");
        }
        for open in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.255.255",
            "172.32.0.1",
            "192.167.1.1",
            "192.169.0.1",
            "223.255.255.255",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert!(is_public(open.parse().unwrap()), "{open}");
        }
    }

    #[test]
    fn a_url_is_https_and_holds_no_credentials() {
        assert!(parse("https://hooks.example/corpex?team=1", false).is_ok());
        assert!(parse("http://hooks.example/", true).is_ok());
        for refused in [
            "http://hooks.example/",
            "ftp://hooks.example/",
            "https://me:pw@hooks.example/",
            "https://h.example/#a",
            "hooks",
        ] {
            assert_eq!(parse(refused, false).unwrap_err().field.as_deref(), Some("url"), "{refused}");
        }
    }

    #[tokio::test]
    async fn every_way_to_write_a_private_address_is_refused_with_the_remedy() {
        for text in [
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://169.254.169.254/latest/meta-data",
            "https://localhost/",
        ] {
            let url = parse(text, false).unwrap();
            let refused = resolve(&url, false).await.unwrap_err();
            assert_eq!((refused.kind, refused.field.as_deref()), (Kind::Invalid, Some("url")), "{text}: {refused:?}");
            assert!(refused.remedy.unwrap().contains("--webhook-private-networks"), "{text}");
            assert!(resolve(&url, true).await.is_ok(), "{text}: a private network opens them");
        }
    }
}
