//! Snapshots of what the engine is asked.

use serde::Serialize;
use serde_json::Value;

/// JSON with its keys sorted, since bollard keeps its maps in no order.
pub(crate) fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(&sorted(serde_json::to_value(value).unwrap())).unwrap()
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.into_iter().collect();
            fields.sort_by(|left, right| left.0.cmp(&right.0));
            Value::Object(
                fields
                    .into_iter()
                    .map(|(key, value)| (key, sorted(value)))
                    .collect(),
            )
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}
