//! `cosmos scale`: more or fewer replicas of a service than the config says.

use std::process::ExitCode;

use super::{
    args::{Global, Scale},
    bootstrap, context,
    error::Failure,
    orders::{self, Failures, Order},
    ui::{outln, plural, sayln},
};

pub(super) async fn run(global: Global, args: Scale) -> Result<ExitCode, Failure> {
    let counts = args
        .counts
        .iter()
        .map(|text| count(text))
        .collect::<Result<Vec<_>, _>>()?;
    let client = bootstrap::client(&global).await?;
    let here = context::workspace_here(&global);
    let mut failures = Failures::default();
    for (service, replicas) in counts {
        let order = Order {
            reason: args.reason.as_deref(),
            replicas: Some(replicas),
            ..Order::of("scale")
        };
        match orders::give(&client, service, &order, here.as_ref()).await {
            Ok(_) if global.quiet => {}
            Ok(ordered) => {
                outln!(
                    "Service scaled: {service} ({})",
                    plural(replicas, "replica")
                );
                if let Some(note) = ordered.note {
                    sayln!("{note}");
                }
            }
            Err(failure) => failures.add(failure),
        }
    }
    failures.last()
}

/// `web=3`.
fn count(text: &str) -> Result<(&str, u32), Failure> {
    let pair = text
        .split_once('=')
        .filter(|(service, _)| !service.is_empty());
    let count = pair.and_then(|(service, count)| Some((service, count.parse().ok()?)));
    count.ok_or_else(|| {
        Failure::usage(format!("`{text}` is not SERVICE=COUNT"))
            .hinted("write it like `cosmos scale web=3`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_a_service_and_a_number() {
        assert_eq!(count("web=3").unwrap(), ("web", 3));
        for wrong in ["web", "web=", "web=x", "web=-1", "=3", ""] {
            assert!(count(wrong).is_err(), "{wrong}");
        }
    }
}
