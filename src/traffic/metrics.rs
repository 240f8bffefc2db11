//! Counts what passes, for Prometheus to collect.
//!
//! One series a service, and never one a container, a path or a client: what is
//! kept is bounded by the names that people wrote into their files.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabel as _, EncodeLabelSet, LabelSetEncoder, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

use super::{Shared, guard::API_PREFIX, routes::Target};

/// How [OpenMetrics 1.0](https://prometheus.io/docs/specs/om/open_metrics_spec/) is called.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// In seconds: from an answer out of memory to a model's last word.
const TOOK: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];

/// Whether this is where they are collected.
pub(super) fn is_asked_for(path: &str) -> bool {
    path.strip_prefix(API_PREFIX) == Some("metrics")
}

/// What was counted since the proxy began.
pub(super) struct Metrics {
    registry: Registry,
    answered: Family<Answered, Counter>,
    took: Family<Service, Histogram, fn() -> Histogram>,
    received: Family<Service, Counter>,
    sent: Family<Service, Counter>,
    upstreams: Family<Service, Gauge>,
    refused: Family<Refused, Counter>,
    connections: Gauge,
    lines_dropped: Counter,
}

/// One request that is over.
pub(super) struct Passed<'a> {
    /// Where it was led, if a route was found.
    pub(super) target: Option<&'a Arc<Target>>,
    pub(super) status: u16,
    pub(super) took: Duration,
    pub(super) received: u64,
    pub(super) sent: u64,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("cosmos");
        let took: fn() -> Histogram = || Histogram::new(TOOK);
        let this = Self {
            answered: Family::default(),
            took: Family::new_with_constructor(took),
            received: Family::default(),
            sent: Family::default(),
            upstreams: Family::default(),
            refused: Family::default(),
            connections: Gauge::default(),
            lines_dropped: Counter::default(),
            registry: Registry::default(),
        };
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which version runs", version);
        registry.register("requests", "Requests that are over", this.answered.clone());
        registry.register_with_unit(
            "request_duration",
            "From the head of a request to the last byte of its answer",
            Unit::Seconds,
            this.took.clone(),
        );
        registry.register_with_unit(
            "request_body",
            "What clients sent",
            Unit::Bytes,
            this.received.clone(),
        );
        registry.register_with_unit(
            "response_body",
            "What clients were sent",
            Unit::Bytes,
            this.sent.clone(),
        );
        registry.register(
            "upstreams",
            "Containers that a route leads to now",
            this.upstreams.clone(),
        );
        registry.register(
            "refusals",
            "Requests that the proxy refused, by its reason",
            this.refused.clone(),
        );
        registry.register(
            "connections",
            "Clients that are connected now",
            this.connections.clone(),
        );
        registry.register(
            "access_log_lines_dropped",
            "Lines that could not be written fast enough",
            this.lines_dropped.clone(),
        );
        Self { registry, ..this }
    }

    /// Counts a request that is over.
    pub(super) fn count(&self, passed: &Passed<'_>) {
        let service = Service(passed.target.cloned());
        self.took
            .get_or_create(&service)
            .observe(passed.took.as_secs_f64());
        for (counter, bytes) in [(&self.received, passed.received), (&self.sent, passed.sent)] {
            if bytes > 0 {
                counter.get_or_create(&service).inc_by(bytes);
            }
        }
        let code = passed.status;
        self.answered
            .get_or_create(&Answered { service, code })
            .inc();
    }

    /// Everything, as it is collected.
    pub(super) fn text(&self, shared: &Shared) -> String {
        self.upstreams.clear();
        for target in shared.routes().shared_targets() {
            let count = i64::try_from(target.upstreams().len()).unwrap_or(i64::MAX);
            let service = Service(Some(Arc::clone(target)));
            self.upstreams.get_or_create(&service).inc_by(count);
        }
        for (reason, count) in shared.refusals() {
            let counter = self.refused.get_or_create(&Refused { reason });
            counter.inner().store(count, Ordering::Relaxed);
        }
        let connections = i64::try_from(shared.connections.count()).unwrap_or(i64::MAX);
        self.connections.set(connections);
        let dropped = shared.dropped_log_lines();
        self.lines_dropped.inner().store(dropped, Ordering::Relaxed);
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// The service or outside route that a series is about; neither for what no route
/// was found for, and for containers of no workspace.
#[derive(Debug, Clone)]
struct Service(Option<Arc<Target>>);

impl Service {
    fn names(&self) -> (&str, &str) {
        let target = self.0.as_deref();
        let workspace = target.and_then(|target| target.workspace.as_deref());
        let service = target.and_then(|target| target.service.as_deref());
        (workspace.unwrap_or_default(), service.unwrap_or_default())
    }
}

impl PartialEq for Service {
    fn eq(&self, other: &Self) -> bool {
        self.names() == other.names()
    }
}

impl Eq for Service {}

impl Hash for Service {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.names().hash(state);
    }
}

impl EncodeLabelSet for Service {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let (workspace, service) = self.names();
        ("workspace", workspace).encode(encoder.encode_label())?;
        ("service", service).encode(encoder.encode_label())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Answered {
    service: Service,
    code: u16,
}

impl EncodeLabelSet for Answered {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        self.service.encode(encoder)?;
        ("code", u32::from(self.code)).encode(encoder.encode_label())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Refused {
    reason: &'static str,
}

impl EncodeLabelSet for Refused {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        ("reason", self.reason).encode(encoder.encode_label())
    }
}
