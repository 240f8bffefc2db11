//! What containers say, and which part of it is asked for.

use std::{
    borrow::Cow,
    fmt,
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

/// Which lines of a container's output.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(default)]
pub struct LogOptions {
    /// Go on as more is written.
    pub follow: bool,
    /// Only so many lines from the end.
    pub tail: Option<u64>,
    /// Nothing that was written before.
    pub since: Option<LogTime>,
    /// Nothing that was written after.
    pub until: Option<LogTime>,
    /// Each line behind its time.
    pub timestamps: bool,
}

/// When a line was written: nanoseconds since the epoch. Written as engines take it,
/// in seconds with up to nine digits behind the point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogTime(pub u64);

/// Nanoseconds of a second.
const NANOS: u64 = 1_000_000_000;

impl LogTime {
    /// So many seconds after the epoch.
    pub const fn of_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(NANOS))
    }

    /// This moment, if it is between 1970 and 2554.
    pub fn at(time: SystemTime) -> Option<Self> {
        let since = time.duration_since(UNIX_EPOCH).ok()?;
        u64::try_from(since.as_nanos()).ok().map(Self)
    }
}

impl fmt::Display for LogTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0 / NANOS, self.0 % NANOS)
    }
}

/// That a text is no [`LogTime`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time is written as seconds since the epoch, like 1700000000 or 1700000000.25")]
pub struct NoLogTime;

impl FromStr for LogTime {
    type Err = NoLogTime;

    fn from_str(text: &str) -> Result<Self, NoLogTime> {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !is_digits(seconds) || !is_digits(fraction) || fraction.len() > 9 {
            return Err(NoLogTime);
        }
        let nanos: u64 = format!("{fraction:0<9}").parse().map_err(|_| NoLogTime)?;
        let seconds: u64 = seconds.parse().map_err(|_| NoLogTime)?;
        let whole = seconds.checked_mul(NANOS).ok_or(NoLogTime)?;
        whole.checked_add(nanos).map(Self).ok_or(NoLogTime)
    }
}

impl serde::Serialize for LogTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for LogTime {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for LogTime {
    fn schema_name() -> Cow<'static, str> {
        "LogTime".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "Seconds since the epoch, with up to nine digits behind the point.",
            // What fits 64 bits of nanoseconds.
            "pattern": r"^[0-9]{1,10}(\.[0-9]{1,9})?$",
        })
    }
}

/// Some bytes that a container wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogChunk {
    /// To its standard output, or to its terminal.
    Out(Bytes),
    /// To its standard error.
    Err(Bytes),
}

impl LogChunk {
    /// What was written, wherever it was.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Out(bytes) | Self::Err(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_is_written() {
        for (text, nanos) in [
            ("0", 0),
            ("1700000000", 1_700_000_000 * NANOS),
            ("1.5", 1_500_000_000),
            ("1.000000001", 1_000_000_001),
        ] {
            let time: LogTime = text.parse().unwrap();
            assert_eq!(time, LogTime(nanos), "{text}");
            assert_eq!(time.to_string().parse(), Ok(time), "{text}");
        }
        for wrong in [
            "",
            ".",
            "1.",
            "-1",
            "1.0000000001",
            "1e3",
            "99999999999999999999",
        ] {
            assert_eq!(wrong.parse::<LogTime>(), Err(NoLogTime), "{wrong}");
        }
    }
}
