//! A length of time as people write it: `90d`, `24h`.

use std::str::FromStr;

/// A length of time, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(u64);

/// Why a text is no length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time is a number and one of s, m, h, d, w, such as 30d")]
pub struct PeriodProblem;

impl Period {
    /// In seconds.
    pub fn seconds(self) -> u64 {
        self.0
    }
}

impl FromStr for Period {
    type Err = PeriodProblem;

    fn from_str(text: &str) -> Result<Self, PeriodProblem> {
        let unit = text.chars().last().ok_or(PeriodProblem)?;
        let count = &text[..text.len() - unit.len_utf8()];
        if count.is_empty() || !count.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(PeriodProblem);
        }
        let length = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return Err(PeriodProblem),
        };
        let count = count.parse::<u32>().map_err(|_| PeriodProblem)?;
        Ok(Self(u64::from(count) * length))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_a_unit() {
        let seconds = |text: &str| text.parse::<Period>().ok().map(Period::seconds);
        assert_eq!((seconds("30d"), seconds("24h"), seconds("0s")), (Some(2_592_000), Some(86_400), Some(0)));
        assert_eq!((seconds("4294967295w"), seconds("2m")), (Some(4_294_967_295 * 604_800), Some(120)));
        for bad in ["", "d", "30", "30 d", "-1d", "1.5d", "1y", "30D", "4294967296d", "1ä", "+1d"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }
}
