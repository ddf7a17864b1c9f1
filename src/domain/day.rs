//! A day as people write it, `2026-03-15`: the moment at which it begins in UTC.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// When the day begins; `None` for any other text, such as one with a time.
pub fn beginning_of_day(text: &str) -> Option<Timestamp> {
    // The library would take other forms, too, and leave a time of the day aside.
    let has_its_form = text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    let day = text.parse::<Date>().ok().filter(|_| has_its_form)?;
    TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_what_is_none() {
        let seconds = |text: &str| beginning_of_day(text).map(Timestamp::as_second);
        assert_eq!(seconds("1970-01-02"), Some(86_400));
        assert_eq!(seconds("2026-03-15"), Some(1_773_532_800));
        for other in
            ["", "2026-02-30", "2026-3-15", "20260315", "2026-03-15T10:00", "2026-03-15T", "26-03-15"]
        {
            assert_eq!(seconds(other), None, "{other}");
        }
    }
}
