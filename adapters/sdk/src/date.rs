//! Points in time as text. All are UTC, counted in milliseconds since the Unix epoch, as the contract has them.

const SECOND: u64 = 1000;
const DAY: u64 = 86_400;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `2021-04-21T13:09:18.780Z` (RFC 3339).
pub fn rfc3339(ms: u64) -> String {
    let ((year, month, day), (hour, minute, second)) = civil(ms);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % SECOND)
}

/// `2021-04-21 13:09 UTC`.
pub fn minute(ms: u64) -> String {
    let ((year, month, day), (hour, minute, _)) = civil(ms);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// Reads an HTTP date as servers send it: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub fn parse_http(date: &str) -> Option<u64> {
    let mut words = date.split_ascii_whitespace().skip(1);
    let day: u64 = words.next()?.parse().ok()?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))? as u64 + 1;
    let year: u64 = words.next()?.parse().ok()?;
    let mut clock = words.next()?.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let zone = words.next()?;
    let plausible =
        (1970..=9999).contains(&year) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    (plausible && zone == "GMT" && words.next().is_none() && clock.next().is_none())
        .then(|| (days(year, month, day) * DAY + hour * 3600 + minute * 60 + second) * SECOND)
}

/// Year, month, day and hour, minute, second.
fn civil(ms: u64) -> ((u64, u64, u64), (u64, u64, u64)) {
    let (days, clock) = (ms / SECOND / DAY, ms / SECOND % DAY);
    // Years are counted from March, so that the leap day is a year's last; an era has 400 of them.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    ((year, month, day), (clock / 3600, clock / 60 % 60, clock % 60))
}

/// Days since the Unix epoch; the opposite of [`civil`].
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_read_as_the_calendar_has_them() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_619_010_558_780, "2021-04-21T13:09:18.780Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(ms), expected);
        }
        assert_eq!(minute(1_619_010_558_780), "2021-04-21 13:09 UTC");
    }

    #[test]
    fn http_dates_are_read_and_nonsense_is_not() {
        assert_eq!(parse_http("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_000));
        assert_eq!(parse_http("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199_000));
        for nonsense in [
            "",
            "06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 PST",
            "Sun, 06 Now 1994 08:49:37 GMT",
            "Sun, 06 Nov 1894 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 99 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
        ] {
            assert_eq!(parse_http(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn calendar_and_day_count_are_opposites() {
        for day in (0..200_000).step_by(13) {
            let ((year, month, date), _) = civil(day * DAY * SECOND);
            assert_eq!(days(year, month, date), day);
        }
    }
}
