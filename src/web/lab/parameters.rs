//! Numbers that a client may choose, each within its bounds: pure.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr};

use super::call::Call;
use crate::http::Fault;

impl Call<'_> {
    /// The argument number `at`; `default` where there is none.
    pub(super) fn number<T>(&self, at: usize, default: T, bounds: RangeInclusive<T>) -> Result<T, Fault>
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        self.argument(at).map_or(Ok(default), |text| within(self.exhibit.name, text, &bounds))
    }

    /// What the query says under one of these names; `default` where it says nothing.
    pub(super) fn asked_number<T>(&self, names: &[&str], default: T, bounds: RangeInclusive<T>) -> Result<T, Fault>
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        let name = names.first().copied().unwrap_or_default();
        self.asked(names).map_or(Ok(default), |text| within(name, text, &bounds))
    }
}

/// Reads a number. What is no number, `NaN` among it, lies in no bounds.
fn within<T: FromStr + PartialOrd + Display>(name: &str, text: &str, bounds: &RangeInclusive<T>) -> Result<T, Fault> {
    let number = text.parse().ok().filter(|number| bounds.contains(number));
    number.ok_or_else(|| {
        Fault::bad(format!("`{name}` wants a number from {} to {}, not `{text}`", bounds.start(), bounds.end()), "RFC 9110, 15.5.1")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_within_their_bounds() {
        assert_eq!(within("n", "7", &(1..=7)), Ok(7));
        for text in ["8", "0", "-1", "x", "", "1e1", "99999999999999999999"] {
            assert_eq!(within("n", text, &(1..=7)).unwrap_err().status, 400, "{text}");
        }
        assert_eq!(within("n", "0.25", &(0.0..=1.0)), Ok(0.25));
        for text in ["NaN", "inf", "-inf", "1.01"] {
            assert!(within("n", text, &(0.0..=1.0)).is_err(), "{text}");
        }
    }
}
