//! Durations and sizes, as people write them.

use std::time::Duration;

/// What a duration looks like, for messages.
pub(super) const DURATION: &str = "a duration like \"500ms\", \"2s\" or \"1m30s\"";

/// What a size looks like, for messages.
pub(super) const SIZE: &str = "a size like \"512MiB\", \"1g\" or a number of bytes";

/// Reads `500ms`, `2s`, `1m30s`, `1.5h`. A number needs its unit.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let (unit, after) = after.split_at(
            after
                .find(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')
                .unwrap_or(after.len()),
        );
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86400.0,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = after.trim_start();
    }
    Some(total)
}

/// Reads `512MiB`, `1g`, `64k`, `1024`: powers of 1024, as every engine takes them.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text.trim())?;
    let unit = unit.trim().to_ascii_lowercase();
    let factor: u64 = match unit.as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return None,
    };
    // Exact up to 2^53 bytes, which is more memory than anything has.
    #[allow(clippy::cast_precision_loss)]
    let bytes = number * factor as f64;
    if !(0.0..9_007_199_254_740_992.0).contains(&bytes) {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let bytes = bytes.round() as u64;
    Some(bytes)
}

fn split_number(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number = text[..end].parse().ok()?;
    Some((number, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("2s"), Some(Duration::from_secs(2)));
        assert_eq!(duration("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("1.5h"), Some(Duration::from_secs(5400)));
        for bad in ["", "5", "s", "5x", "1m30", "-1s", "..s", "1e400s"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(size("512MiB"), Some(512 << 20));
        assert_eq!(size("1g"), Some(1 << 30));
        assert_eq!(size("1.5k"), Some(1536));
        assert_eq!(size("77"), Some(77));
        for bad in ["", "MiB", "5x", "-1", "1 2", "99999999999999999999g"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }
}
