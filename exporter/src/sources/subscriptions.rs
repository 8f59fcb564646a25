//! `/nodes/{node}/subscription`: whether a node has a subscription, and until when.

use std::sync::Arc;

use crate::pve::api::node_subscription::decode;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::name::SourceName;
use crate::subjects::ha::fold;
use crate::subjects::node;
use crate::subjects::subscription::{STATUSES, Subscription};

const DAY: u64 = 86_400;

/// Reads it.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str, node: &Arc<str>) -> Result<Subscription, ApiError> {
    let request = Request::node(node, "subscription", SourceName::Subscriptions.cost());
    let answer = client.get(&request).await?;
    answer.decode(&request.path, |body| convert(body, cluster, node))
}

/// Turns a body into a subject.
///
/// # Errors
/// When the body is not what the endpoint promises.
pub fn convert(body: &[u8], cluster: &str, node: &str) -> Result<Subscription, DecodeError> {
    let subscription = decode(body)?;
    let bounded = |text: &str, most: usize| -> Box<str> {
        let plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        let fits = |text: &&str| text.len() <= most && text.bytes().all(plain);
        Some(text).filter(fits).unwrap_or_default().into()
    };
    Ok(Subscription {
        identity: node::identity(cluster, node),
        status: fold(&subscription.status, STATUSES),
        level: bounded(&subscription.level, 1),
        product: bounded(&subscription.productname, 80),
        sockets: subscription.sockets,
        next_due: midnight(&subscription.nextduedate),
    })
}

/// When a day such as `2027-03-31` begins in UTC, in Unix seconds.
pub(crate) fn midnight(date: &str) -> Option<u64> {
    let mut parts = date.split('-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let valid = (1970..10_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !valid || parts.next().is_some() {
        return None;
    }
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some((days - 719_468) * DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> Subscription {
        convert(body, "main", "pve1").unwrap()
    }

    #[test]
    fn recorded_subscriptions_are_told_without_their_key() {
        let none = read(include_bytes!(
            "../../tests/fixtures/pve-9.2/nodes__pve1__subscription.json"
        ));
        assert_eq!(
            (none.status, none.next_due, none.sockets),
            (Some("notfound"), None, None)
        );
        assert!(none.level.is_empty() && none.product.is_empty());
        let basic = read(include_bytes!(
            "../../tests/fixtures/pve-9.2/nodes__pve2__subscription.json"
        ));
        assert_eq!(
            (basic.status, &*basic.level, basic.sockets),
            (Some("active"), "b", Some(1))
        );
        assert_eq!(&*basic.product, "Proxmox VE Basic Subscription 2 CPUs/year");
        assert_eq!(basic.next_due, Some(1_799_971_200));
        let shown = format!("{none:?}{basic:?}");
        for secret in ["9B8A03F1", "EDD4339B", "pve2b"] {
            assert!(!shown.contains(secret), "{secret}");
        }
    }

    #[test]
    fn constructed_subscriptions_may_lack_everything_but_their_status() {
        let body = include_bytes!("../../tests/fixtures/pve-9/nodes__pve1__subscription.json");
        assert_eq!(read(body).status, Some("notfound"));
        assert_eq!(read(br#"{"data":{"status":"paused"}}"#).status, Some("other"));
        let damaged =
            read(br#"{"data":{"status":{},"level":"cc","productname":"a\nb","sockets":"2","nextduedate":7}}"#);
        assert_eq!(
            (damaged.status, damaged.sockets, damaged.next_due),
            (None, Some(2), None)
        );
        assert!(damaged.level.is_empty() && damaged.product.is_empty());
    }

    #[test]
    fn an_error_shows_nothing_of_the_body() {
        let error = convert(br#"{"key":"pve2b-1234567890""#, "main", "pve1").unwrap_err();
        assert!(!error.to_string().contains("1234567890"), "{error}");
    }

    #[test]
    fn days_begin_at_midnight() {
        for (date, at) in [
            ("1970-01-01", Some(0)),
            ("2000-02-29", Some(951_782_400)),
            ("2026-03-01", Some(1_772_323_200)),
            ("2027-01-15", Some(1_799_971_200)),
            ("0000-00-00", None),
            ("2027-13-01", None),
            ("2027-01", None),
            ("2027-01-01-01", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(midnight(date), at, "{date}");
        }
    }
}
