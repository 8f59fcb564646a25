//! `/access/users`

use super::{ALWAYS, Answer, Endpoint, Parameter, Scene};
use crate::{
    calendar::{DAY, seconds},
    json::Json,
    reply::Refusal,
};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/access/users",
    since: ALWAYS,
    parameters: &[Parameter::new("enabled"), Parameter::new("full")],
    // Nobody is refused; who may not see a user does not get its row.
    privilege: None,
    answer: Answer::One(render),
};

/// When the token of the user that is switched off has expired: in 2001.
const EXPIRED: u64 = 1_000_000_000;

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let full = scene.call.query("full").is_some_and(|full| full == "1");
    let (own, token) = scene.cluster.options.token_id.rsplit_once('!').unwrap_or_default();
    // In a lively cluster the time of one more user soon ends, and later that of the own token.
    let troubled = scene.cluster.options.is_troubled();
    let days = |number: u64| seconds(scene.cluster.time.start()) + number * DAY;
    let users = [
        (own, true, 0, Some((token, if troubled { days(45) } else { 0 }))),
        ("former@pve", false, 0, Some(("script", EXPIRED))),
        ("root@pam", true, 0, None),
    ];
    let guest = ("guest@pve", true, days(20), Some(("ci", 0)));
    let users = users.into_iter().chain(troubled.then_some(guest));
    json.begin_list();
    for (user, enabled, expire, token) in users.filter(|_| scene.permitted) {
        json.begin_row();
        json.string_field("userid", user);
        json.flag_field("enable", enabled);
        json.integer_field("expire", expire);
        json.string_field("realm-type", user.rsplit('@').next().unwrap_or_default());
        if full {
            json.string_field("groups", "");
            json.key("tokens");
            json.begin_list();
            if let Some((name, expire)) = token {
                json.begin_object();
                json.string_field("tokenid", name);
                json.integer_field("expire", expire);
                json.integer_field("privsep", 1);
                json.end_object();
            }
            json.end_list();
        }
        json.end_object();
    }
    json.end_list();
    Ok(())
}
