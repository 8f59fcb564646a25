//! `POST /access/ticket`: what a login gets.

use super::{ALWAYS, Answer, Endpoint, Parameter};
use crate::{calendar::seconds, cluster::Cluster, json::Json, json::Numbers, reply::Refusal};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "POST",
    template: "/access/ticket",
    since: ALWAYS,
    parameters: &[
        Parameter::new("username"),
        Parameter::new("password"),
        Parameter::new("realm"),
        Parameter::new("otp"),
        Parameter::new("path"),
        Parameter::new("privs"),
        Parameter::new("new-format"),
        Parameter::new("tfa-challenge"),
    ],
    privilege: None,
    answer: Answer::Login,
};

/// Lets a user in who has the password, or a ticket that still holds.
pub(crate) fn log_in(
    cluster: &Cluster,
    node: usize,
    parameter: impl Fn(&str) -> Option<String>,
) -> Result<Vec<u8>, Refusal> {
    let missing = |name| Refusal::parameter(name, "property is missing and it is not optional");
    let mut user = parameter("username").ok_or_else(|| missing("username"))?;
    let password = parameter("password").ok_or_else(|| missing("password"))?;
    if let Some(realm) = parameter("realm") {
        user = format!("{user}@{realm}");
    }
    let (name, options) = (cluster.node_name(node), &cluster.options);
    let known = user == options.user && !cluster.with_faults(|faults| faults.revoked(name, ENDPOINT.template));
    let is_password = password == cluster.password();
    if !known || !(is_password || cluster.tickets.are_good(&password, &user, cluster.time.now())) {
        // Whatever is wrong: nobody is to find out which users there are.
        return Err(Refusal::new(401, "authentication failure"));
    }
    let now = cluster.time.now();
    let is_half = options.second_factor && is_password;
    let ticket = if is_half {
        cluster.tickets.half(now)
    } else {
        cluster.tickets.issue(&user, now)
    };
    let mut json = Json::new(Numbers::Plain, false);
    json.begin_object();
    json.key("data");
    json.begin_object();
    json.string_field("CSRFPreventionToken", &cluster.tickets.csrf_token(&user, now));
    if is_half {
        json.integer_field("NeedTFA", 1);
    } else {
        json.key("cap");
        json.begin_object();
        for area in ["access", "dc", "nodes", "sdn", "storage", "vms"] {
            json.key(area);
            json.begin_object();
            json.integer_field("Sys.Audit", 1);
            json.end_object();
        }
        json.end_object();
    }
    if !options.standalone {
        json.string_field("clustername", &options.name);
    }
    json.string_field("ticket", &ticket);
    json.string_field("username", &user);
    json.end_object();
    json.end_object();
    tracing::debug!(user, at = seconds(now), "successful auth");
    Ok(json.finish())
}
