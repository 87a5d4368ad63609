//! The address of the client that sent a request, behind the proxies that the operator trusts.

use std::{net::IpAddr, net::SocketAddr, str::FromStr};

use actix_web::{
    HttpRequest,
    http::header::{HeaderMap, HeaderName},
};
use ipnet::IpNet;

/// The header to which each proxy adds the address that it was asked from.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// How many proxies may stand in a row.
const MAX_PROXIES: usize = 16;
/// How long one header may be, in bytes: far more than that many addresses take.
const MAX_HEADER_BYTES: usize = 1024;

/// The addresses of proxies whose `X-Forwarded-For` is believed; of all others it is ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl FromStr for TrustedProxies {
    type Err = String;

    /// Reads addresses and networks such as `192.0.2.7, 10.0.0.0/8, 2001:db8::/32`; none in a blank text.
    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        text.split(',').map(str::trim).map(network).collect::<Result<_, _>>().map(Self)
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address.to_canonical()));
    }
    let network: IpNet = text.parse().map_err(|_| {
        format!("\"{text}\" is neither an address such as 192.0.2.7 nor a network such as 10.0.0.0/8")
    })?;
    if network != network.trunc() {
        return Err(format!("\"{text}\" is an address within a network; the network is {}", network.trunc()));
    }
    Ok(network)
}

impl TrustedProxies {
    fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address of the client: the peer's, or, if the peer is a trusted proxy, the last one in `X-Forwarded-For`
    /// that is none. If that header does not say, it is the peer's.
    pub(crate) fn client(&self, request: &HttpRequest) -> Option<IpAddr> {
        let peer = request.peer_addr()?.ip().to_canonical();
        let forwarded = self.contain(peer).then(|| self.forwarded_for(request.headers())).flatten();
        Some(forwarded.unwrap_or(peer))
    }

    /// What the trusted proxies say, read from the last that was added. What a client wrote itself stands before that,
    /// and is not even looked at.
    fn forwarded_for(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let mut proxies = 0;
        for value in headers.get_all(FORWARDED_FOR).rev() {
            if value.len() > MAX_HEADER_BYTES {
                return None;
            }
            for address in value.to_str().ok()?.rsplit(',') {
                let address = address_of(address.trim())?;
                if !self.contain(address) {
                    return Some(address);
                }
                proxies += 1;
                if proxies == MAX_PROXIES {
                    return None;
                }
            }
        }
        None
    }
}

/// An address; some proxies add the port.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    let address: Option<IpAddr> = text.parse().ok().or_else(with_port).or_else(bare);
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn client(trusted: &str, peer: &str, headers: &[&str]) -> String {
        let peer = SocketAddr::new(peer.parse().unwrap(), 1234);
        let request = headers.iter().fold(TestRequest::default().peer_addr(peer), |request, value| {
            request.append_header((FORWARDED_FOR, *value))
        });
        let trusted: TrustedProxies = trusted.parse().unwrap();
        trusted.client(&request.to_http_request()).unwrap().to_string()
    }

    #[test]
    fn only_a_trusted_proxy_names_another_address_than_its_own() {
        let long = format!("{}192.0.2.1", " ".repeat(1_020));
        let proxies = vec!["10.0.0.2"; 16].join(",");
        for (trusted, peer, headers, expected) in [
            ("", "10.0.0.1", &["192.0.2.1"][..], "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", &["192.0.2.1"], "192.0.2.1"),
            ("10.0.0.0/8", "11.0.0.1", &["192.0.2.1"], "11.0.0.1"),
            ("10.0.0.1", "10.0.0.2", &["192.0.2.1"], "10.0.0.2"),
            // Written by the client, before the proxy added where it was asked from.
            ("10.0.0.0/8", "10.0.0.1", &["198.51.100.9, 192.0.2.1"], "192.0.2.1"),
            ("10.0.0.0/8", "10.0.0.1", &["garbage, 192.0.2.1"], "192.0.2.1"),
            ("10.0.0.0/8", "10.0.0.1", &["198.51.100.9", "192.0.2.1"], "192.0.2.1"),
            // Two proxies.
            ("10.0.0.0/8", "10.0.0.1", &["192.0.2.1, 10.0.0.7"], "192.0.2.1"),
            ("10.0.0.0/8", "10.0.0.1", &["192.0.2.1,10.0.0.7", "10.0.0.8"], "192.0.2.1"),
            // Nothing that says.
            ("10.0.0.0/8", "10.0.0.1", &["10.0.0.7"], "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", &["192.0.2.1, garbage"], "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", &["192.0.2.1, "], "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", &["unknown"], "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", &["é"], "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", &[&long], "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.1", &["192.0.2.1", &proxies], "10.0.0.1"),
            // Forms of addresses.
            ("10.0.0.0/8", "::ffff:10.0.0.1", &["192.0.2.1:4711"], "192.0.2.1"),
            ("2001:db8::/32", "2001:db8::1", &["[2001:db9::1]:4711"], "2001:db9::1"),
            ("2001:db8::/32, 10.0.0.1", "10.0.0.1", &["[2001:db9::1], 2001:db8::7"], "2001:db9::1"),
            ("::ffff:10.0.0.1", "10.0.0.1", &["::ffff:192.0.2.1"], "192.0.2.1"),
        ] {
            assert_eq!(client(trusted, peer, headers), expected, "{trusted} {peer} {headers:.200?}");
        }
    }

    #[test]
    fn a_list_that_cannot_be_read_is_refused_in_words() {
        for (text, words) in [
            ("10.0.0.0/33", "\"10.0.0.0/33\" is neither"),
            ("10.0.0.0/8,", "\"\" is neither"),
            ("proxy.example", "\"proxy.example\" is neither"),
            ("10.0.0.0/8 10.1.0.0/16", "is neither"),
            ("10.0.0.1/8", "the network is 10.0.0.0/8"),
        ] {
            let reason = text.parse::<TrustedProxies>().unwrap_err();
            assert!(reason.contains(words), "{text}: {reason}");
        }
        assert_eq!(" ".parse(), Ok(TrustedProxies::default()));
    }
}
