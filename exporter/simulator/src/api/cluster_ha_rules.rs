//! `/cluster/ha/rules`

use super::{Answer, Endpoint, Scene};
use crate::{Version, json::Json, reply::Refusal};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/cluster/ha/rules",
    since: Version::new(9, 0, 0),
    parameters: &[],
    privilege: Some(("/", "Sys.Audit")),
    answer: Answer::One(render),
};

/// The simulated cluster lets HA place its services as it likes.
fn render(_: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    json.begin_list();
    json.end_list();
    Ok(())
}
