//! Times as engines write them.

use std::time::{Duration, SystemTime};

/// Reads RFC 3339, as engines write it: `2026-11-23T23:08:17.123456789Z`, or with an offset.
///
/// The year 1, which means "never", is `None`.
pub fn time(text: &str) -> Option<SystemTime> {
    let (date, rest) = text.split_once('T')?;
    let zone = rest.find(['Z', '+', '-'])?;
    let (clock, zone) = rest.split_at(zone);
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut clock = clock.splitn(3, ':').map(str::parse::<i64>);
    let (hour, minute, second) = (
        clock.next()?.ok()?,
        clock.next()?.ok()?,
        clock.next()?.ok()?,
    );
    let nanos = nanos(fraction)?;
    let offset = match zone.split_at_checked(1)? {
        ("Z", _) => 0,
        (sign, offset) => {
            let (hours, minutes) = offset.split_once(':')?;
            let seconds = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
            if sign == "-" { -seconds } else { seconds }
        }
    };
    if !(1970..10_000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(SystemTime::UNIX_EPOCH + Duration::new(u64::try_from(seconds).ok()?, nanos))
}

/// The digits behind the point; those after the ninth are too small to matter.
fn nanos(fraction: &str) -> Option<u32> {
    let digits = fraction.get(..9).unwrap_or(fraction);
    if digits.is_empty() {
        return Some(0);
    }
    let unit = 10_u32.pow(9 - u32::try_from(digits.len()).ok()?);
    Some(digits.parse::<u32>().ok()? * unit)
}

/// Days since 1970-01-01, counting years from March so that the leap day is the last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<u128> {
        Some(
            time(text)?
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_nanos(),
        )
    }

    #[test]
    fn engine_times_are_read_to_the_nanosecond() {
        assert_eq!(seconds("1970-01-01T00:00:01Z"), Some(1_000_000_000));
        assert_eq!(
            seconds("2024-02-29T12:00:00.5Z"),
            Some(1_709_208_000_500_000_000)
        );
        assert_eq!(
            seconds("2024-02-29T14:00:00.000000001+02:00"),
            Some(1_709_208_000_000_000_001)
        );
        for never in ["0001-01-01T00:00:00Z", "", "yesterday", "2024-02-29"] {
            assert_eq!(seconds(never), None, "{never}");
        }
    }
}
