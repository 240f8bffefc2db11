//! The verbs of a workspace, typed as a person types them, each claim a test.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what a failed test leaves is read by people"
)]

mod adopt;
mod build;
mod changes;
mod checkouts;
mod compose;
mod copies;
mod faults;
mod heal;
mod logs;
mod names;
mod noop;
mod one_plan;
mod oneshots;
mod overrides;
mod past;
mod ports;
mod pull;
mod removals;
mod shop;
pub(in crate::engine) mod support;
mod tap;
mod up;
mod usage;
mod verbs;
mod wait;
mod watch;

/// A service that answers `hello <its host name>` on a route.
pub(in crate::engine) const WEB: &str = r#"
[services.web]
image = "busybox:latest"
init = true
env = { GREETING = "hello" }
command = ["sh", "-c", "mkdir -p /www; echo $GREETING $(hostname) > /www/index.html; exec httpd -f -p 80 -h /www"]
route = 80
health = { http = "/", port = 80, interval = "100ms" }
"#;

/// A service that does nothing, with further keys.
pub(in crate::engine) fn idle(name: &str, keys: &str) -> String {
    format!(
        "[services.{name}]\nimage = \"busybox:latest\"\ninit = true\ncommand = [\"sleep\", \"1000\"]\n{keys}\n"
    )
}
