//! Pseudo-random values as pure functions of their arguments, so that a seed and a time always give the same cluster.

use std::f64::consts::TAU;

/// Mixes the parts into one well distributed number (splitmix64, chained).
pub(crate) fn hash(parts: &[u64]) -> u64 {
    parts
        .iter()
        .fold(0x9E37_79B9_7F4A_7C15, |state, part| mix(state ^ mix(*part)))
}

fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A number for a text, to mix into [`hash`].
pub(crate) fn text(value: &str) -> u64 {
    value.bytes().fold(0xCBF2_9CE4_8422_2325, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}

/// A value in 0..1.
pub(crate) fn unit(parts: &[u64]) -> f64 {
    (hash(parts) >> 11) as f64 / (1_u64 << 53) as f64
}

/// An index below `length`, which must not be 0.
pub(crate) fn index(length: usize, parts: &[u64]) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "the remainder is below a usize")]
    let index = (hash(parts) % length as u64) as usize;
    index
}

/// Whole units of a quantity that is never negative.
pub(crate) fn whole(value: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and negative values are cut off before"
    )]
    let whole = value.max(0.0) as u64;
    whole
}

/// A smooth walk within 0..1: random values every `period` seconds with soft curves between them.
pub(crate) fn walk(stream: u64, seconds: f64, period: f64) -> f64 {
    let position = seconds / period;
    let step = position.floor();
    let (before, after) = (unit(&[stream, whole(step)]), unit(&[stream, whole(step) + 1]));
    let fraction = position - step;
    let weight = fraction * fraction * (3.0 - 2.0 * fraction);
    before + (after - before) * weight
}

/// What a counter has reached after `seconds` when its rate swings around `rate` and never falls below a tenth of it:
/// the integral of the rate, so that any two readings agree with each other.
pub(crate) fn counted(stream: u64, rate: f64, seconds: f64) -> u64 {
    let swing = |number: u64, amplitude: f64, period: f64| {
        let phase = unit(&[stream, number]) * TAU;
        amplitude * period / TAU * (phase.cos() - (seconds / period * TAU + phase).cos())
    };
    whole(rate * (seconds + swing(1, 0.5, 7_200.0) + swing(2, 0.4, 420.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_are_smooth_and_bounded() {
        let mut before = walk(7, 1_000.0, 300.0);
        for step in 1..500 {
            let value = walk(7, 1_000.0 + f64::from(step) * 10.0, 300.0);
            assert!((0.0..=1.0).contains(&value));
            assert!((value - before).abs() < 0.1, "a step of {}", value - before);
            before = value;
        }
    }

    #[test]
    fn counted_only_grows_and_starts_at_zero() {
        assert_eq!(counted(3, 1e6, 0.0), 0);
        let mut before = 0;
        for step in 1..2_000 {
            let value = counted(3, 1e6, f64::from(step) * 10.0);
            assert!(value > before);
            before = value;
        }
    }
}
