//! Which format and which compression the client wants.

use hyper::header::HeaderValue;

use crate::metrics::exposition::Format;

/// The format that the `Accept` headers rank first, by their q-values. Without a preference for OpenMetrics it is classic
/// text, which every client reads.
pub(super) fn format<'a>(headers: impl IntoIterator<Item = &'a HeaderValue>) -> Format {
    let (mut openmetrics, mut classic) = (0.0_f32, 0.0_f32);
    for (media, parameters, quality) in choices(headers) {
        let version = parameters
            .iter()
            .find_map(|(name, value)| (*name == "version").then_some(*value));
        match (media, version) {
            ("application/openmetrics-text", None | Some("0.0.1" | "1.0.0")) => openmetrics = openmetrics.max(quality),
            ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", _) => classic = classic.max(quality),
            _ => {}
        }
    }
    if openmetrics > 0.0 && openmetrics >= classic {
        Format::OpenMetrics
    } else {
        Format::Classic
    }
}

/// Whether the `Accept-Encoding` headers allow gzip.
pub(super) fn accepts_gzip<'a>(headers: impl IntoIterator<Item = &'a HeaderValue>) -> bool {
    let mut any = None;
    for (coding, _, quality) in choices(headers) {
        match coding {
            "gzip" | "x-gzip" => return quality > 0.0,
            "*" => any = Some(quality > 0.0),
            _ => {}
        }
    }
    any.unwrap_or(false)
}

type Choice<'a> = (&'a str, Vec<(&'a str, &'a str)>, f32);

fn choices<'a>(headers: impl IntoIterator<Item = &'a HeaderValue>) -> impl Iterator<Item = Choice<'a>> {
    headers
        .into_iter()
        .filter_map(|header| header.to_str().ok())
        .flat_map(|header| header.split(','))
        .map(|choice| {
            let mut parts = choice.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let parameters: Vec<_> = parts
                .filter_map(|parameter| parameter.split_once('='))
                .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
                .collect();
            let quality = parameters
                .iter()
                .find(|(name, _)| *name == "q")
                .map_or(1.0, |(_, value)| value.parse().unwrap_or(0.0));
            (name, parameters, quality)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(accept: &'static str) -> Format {
        format([&HeaderValue::from_static(accept)])
    }

    #[test]
    fn what_real_scrapers_send() {
        let prometheus_2_42 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3_5 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        assert_eq!(chosen(prometheus_2_42), Format::OpenMetrics);
        assert_eq!(chosen(prometheus_3_5), Format::OpenMetrics);
        assert_eq!(chosen("*/*"), Format::Classic);
        assert_eq!(chosen("text/html,application/xhtml+xml,*/*;q=0.8"), Format::Classic);
        assert_eq!(format([]), Format::Classic);
    }

    #[test]
    fn q_values_decide() {
        assert_eq!(
            chosen("application/openmetrics-text; q=0.2, text/plain; q=0.9"),
            Format::Classic
        );
        assert_eq!(chosen("application/openmetrics-text; q=0"), Format::Classic);
        assert_eq!(
            chosen("application/openmetrics-text; version=\"1.0.0\""),
            Format::OpenMetrics
        );
        assert_eq!(chosen("application/openmetrics-text; version=2.0.0"), Format::Classic);
    }

    #[test]
    fn gzip_only_where_it_is_allowed() {
        let gzip = |header: &'static str| accepts_gzip([&HeaderValue::from_static(header)]);
        assert!(gzip("gzip"));
        assert!(gzip("deflate, gzip;q=0.5"));
        assert!(gzip("*"));
        assert!(!gzip("gzip;q=0"));
        assert!(!gzip("*;q=0"));
        assert!(!gzip("identity"));
        assert!(!accepts_gzip([]));
    }
}
