//! Any bytes as a `pve.yml`, and around a secret of one: whatever is wrong there, nothing that is told repeats it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pve_exporter::compat::config::Modules;
use pve_exporter::config::Place;

const SECRET: &str = "hunter2";

/// How a secret stands in a file.
const LINES: [&str; 4] = [
    "\n  password: hunter2\n",
    "\n  token_value: 'hunter2'\n",
    ", password: hunter2,",
    ", \"token_value\": \"hunter2\",",
];

fuzz_target!(|bytes: &[u8]| {
    drop(told(bytes));
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if text.contains(SECRET) {
        return;
    }
    let (before, after) = text.split_once('\0').unwrap_or((text, ""));
    for line in LINES {
        for head in ["default:\n", ""] {
            let told = told(format!("{head}{before}{line}{after}").as_bytes());
            assert!(!told.contains(SECRET), "{told}");
        }
    }
});

/// All that log lines and messages may say of a file.
fn told(bytes: &[u8]) -> String {
    match Modules::parse(bytes, Place::File("pve.yml".into()), &[]) {
        Err(error) => format!("{error} {error:?}"),
        Ok(modules) => {
            let each: Vec<_> = modules.modules.values().collect();
            format!("{:?} {each:?}", modules.warnings)
        }
    }
}
