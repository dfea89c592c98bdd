//! Amounts as contracts spell them: grouped digits, and in yuan the capital numerals (大写金额) that cannot be altered
//! with a stroke of the pen.

use crate::types::{Currency, Money};

const DIGITS: [&str; 10] = ["零", "壹", "贰", "叁", "肆", "伍", "陆", "柒", "捌", "玖"];
/// The powers of ten that have a name, the largest first. Every 10^8 is counted in turn: 亿亿 is 10^16.
const UNITS: [(u64, &str); 5] = [(100_000_000, "亿"), (10_000, "万"), (1000, "仟"), (100, "佰"), (10, "拾")];
const FEN_PER_YUAN: u64 = 100;

/// An amount of yuan in capital numerals, by the rules of the People's Bank for negotiable instruments (支付结算办法,
/// annex 1); nothing for another currency, or for less than nothing.
pub fn in_capitals(amount: Money) -> Option<String> {
    let fen = u64::try_from(amount.amount_minor).ok().filter(|_| amount.currency == Currency::CNY)?;
    let (yuan, jiao, fen) = (fen / FEN_PER_YUAN, fen / 10 % 10, fen % 10);
    let whole = match (yuan, jiao, fen) {
        (0, 0, 0) => "零元".to_string(),
        (0, ..) => String::new(),
        _ => integer(yuan) + "元",
    };
    let change = match (jiao, fen) {
        (0, 0) => "整".to_string(),
        (0, fen) if yuan > 0 => format!("零{}分", digit(fen)),
        (0, fen) => format!("{}分", digit(fen)),
        (jiao, 0) => format!("{}角", digit(jiao)),
        (jiao, fen) => format!("{}角{}分", digit(jiao), digit(fen)),
    };
    Some(format!("人民币{whole}{change}"))
}

fn digit(of: u64) -> &'static str {
    usize::try_from(of).ok().and_then(|of| DIGITS.get(of)).copied().unwrap_or_default()
}

/// A number above zero. A gap between two units is one 零, however wide it is.
fn integer(number: u64) -> String {
    let Some((unit, name)) = UNITS.iter().find(|(unit, _)| number >= *unit) else {
        return digit(number).to_string();
    };
    let (count, rest) = (integer(number / unit), number % unit);
    match rest {
        0 => format!("{count}{name}"),
        rest if rest < unit / 10 => format!("{count}{name}零{}", integer(rest)),
        rest => format!("{count}{name}{}", integer(rest)),
    }
}

/// An amount with its currency and its digits in groups of three: `CNY 1,234.56`.
pub(super) fn in_groups(amount: Money) -> String {
    let text = amount.to_string();
    let (head, tail) = text.split_at(text.find('.').unwrap_or(text.len()));
    let digits = head.chars().filter(char::is_ascii_digit).count();
    let mut left = digits;
    let mut grouped = String::new();
    for c in head.chars() {
        if c.is_ascii_digit() {
            if left < digits && left.is_multiple_of(3) {
                grouped.push(',');
            }
            left -= 1;
        }
        grouped.push(c);
    }
    grouped + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capitals(fen: i64) -> String {
        in_capitals(Money::new(fen, Currency::CNY)).unwrap()
    }

    #[test]
    fn the_examples_of_the_peoples_bank_are_spelled_as_it_spells_them() {
        for (fen, spelled) in [
            (140_950, "人民币壹仟肆佰零玖元伍角"),
            (600_714, "人民币陆仟零柒元壹角肆分"),
            (168_032, "人民币壹仟陆佰捌拾元叁角贰分"),
            (10_700_053, "人民币壹拾万柒仟元伍角叁分"),
            (1_640_902, "人民币壹万陆仟肆佰零玖元零贰分"),
            (32_504, "人民币叁佰贰拾伍元零肆分"),
        ] {
            assert_eq!(capitals(fen), spelled);
        }
    }

    #[test]
    fn every_gap_is_one_zero_and_every_unit_has_its_name() {
        for (fen, spelled) in [
            (0, "人民币零元整"),
            (1, "人民币壹分"),
            (10, "人民币壹角"),
            (100, "人民币壹元整"),
            (1000, "人民币壹拾元整"),
            (50_000, "人民币伍佰元整"),
            (1_000_500, "人民币壹万零伍元整"),
            (100_050_000, "人民币壹佰万零伍佰元整"),
            (1_000_000_000, "人民币壹仟万元整"),
            (10_000_000_100, "人民币壹亿零壹元整"),
            (10_050_000_000, "人民币壹亿零伍拾万元整"),
            (123_456_789_012, "人民币壹拾贰亿叁仟肆佰伍拾陆万柒仟捌佰玖拾元壹角贰分"),
            ((1 << 53) - 1, "人民币玖拾万零柒佰壹拾玖亿玖仟贰佰伍拾肆万柒仟肆佰零玖元玖角壹分"),
            (i64::MAX, "人民币玖亿贰仟贰佰叁拾叁万柒仟贰佰零叁亿陆仟捌佰伍拾肆万柒仟柒佰伍拾捌元零柒分"),
        ] {
            assert_eq!(capitals(fen), spelled, "{fen}");
        }
    }

    #[test]
    fn only_yuan_have_capitals() {
        assert_eq!(in_capitals(Money::new(100, "USD".parse().unwrap())), None);
        assert_eq!(in_capitals(Money::new(-1, Currency::CNY)), None);
    }

    #[test]
    fn digits_stand_in_groups_of_three() {
        for (minor, currency, written) in [
            (0, "CNY", "CNY 0.00"),
            (99_999, "CNY", "CNY 999.99"),
            (100_000, "CNY", "CNY 1,000.00"),
            (-123_456_789, "USD", "USD -1,234,567.89"),
            (1_234_567, "JPY", "JPY 1,234,567"),
        ] {
            assert_eq!(in_groups(Money::new(minor, currency.parse().unwrap())), written);
        }
    }

    /// Reads capital numerals back: every amount has a spelling of its own.
    fn read_back(spelled: &str) -> u128 {
        let (mut total, mut section, mut digit) = (0_u128, 0_u128, 0_u128);
        for c in spelled.trim_start_matches("人民币").chars() {
            if let Some(value) = DIGITS.iter().position(|name| name.starts_with(c)) {
                digit = u128::try_from(value).unwrap();
                continue;
            }
            match c {
                '拾' | '佰' | '仟' => {
                    section += digit * [10, 100, 1000]["拾佰仟".chars().position(|u| u == c).unwrap()]
                }
                '万' => (total, section) = (total + (section + digit) * 10_000, 0),
                '亿' => (total, section) = ((total + section + digit) * 100_000_000, 0),
                '元' => (total, section) = ((total + section + digit) * 100, 0),
                '角' => total += digit * 10,
                '分' => total += digit,
                _ => {}
            }
            digit = 0;
        }
        total
    }

    proptest::proptest! {
        #[test]
        fn what_is_spelled_reads_back(fen in 0_i64..i64::MAX) {
            proptest::prop_assert_eq!(read_back(&capitals(fen)), u128::try_from(fen).unwrap());
        }
    }
}
