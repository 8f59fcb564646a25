//! Whether the guests of a node find a place on others: first fit, by memory.

use std::cmp::Reverse;
use std::rc::Rc;

/// A guest that needs a place.
#[derive(Clone, Debug)]
pub struct Homeless {
    /// Bytes of memory that it needs.
    pub memory: u64,
    /// The nodes on which it could run, by index; every node if there is no list.
    pub places: Option<Rc<[usize]>>,
}

/// What has found no place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unplaced {
    /// How many guests.
    pub guests: u64,
    /// Bytes of memory that they need in all.
    pub memory: u64,
}

/// Places `guests` on nodes that each have so many bytes `free`; `None` is a node that takes nobody.
///
/// Those that the fewest nodes could take come first, of these the largest, and each goes to the first node that can take it. If
/// nothing is left over, all of them fit; what is left over might still fit in a cleverer order. Guests that are alike in both
/// are placed in the order in which they come, so that equal input gives equal output.
#[must_use]
pub fn unplaced(free: &[Option<u64>], guests: &[Homeless]) -> Unplaced {
    let mut free = free.to_vec();
    let mut order: Vec<&Homeless> = guests.iter().collect();
    order.sort_by_key(|guest| {
        let choices = guest.places.as_ref().map_or(usize::MAX, |places| places.len());
        (choices, Reverse(guest.memory))
    });
    let mut unplaced = Unplaced::default();
    for guest in order {
        if !place(&mut free, guest) {
            unplaced.guests += 1;
            unplaced.memory = unplaced.memory.saturating_add(guest.memory);
        }
    }
    unplaced
}

fn place(free: &mut [Option<u64>], guest: &Homeless) -> bool {
    let take = |free: &mut Option<u64>| {
        let left = free.and_then(|bytes| bytes.checked_sub(guest.memory));
        if left.is_some() {
            *free = left;
        }
        left.is_some()
    };
    match &guest.places {
        None => free.iter_mut().any(take),
        Some(places) => places.iter().any(|place| free.get_mut(*place).is_some_and(take)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn anywhere(memory: u64) -> Homeless {
        Homeless { memory, places: None }
    }

    fn only(memory: u64, places: &[usize]) -> Homeless {
        Homeless {
            memory,
            places: Some(places.into()),
        }
    }

    fn left(guests: u64, memory: u64) -> Unplaced {
        Unplaced { guests, memory }
    }

    #[test]
    fn the_largest_goes_first_and_the_rest_fills_up() {
        let guests = [anywhere(3), anywhere(6), anywhere(2), anywhere(5)];
        assert_eq!(unplaced(&[Some(8), Some(8)], &guests), left(0, 0));
        assert_eq!(unplaced(&[Some(8), None, Some(7)], &guests), left(1, 3));
        assert_eq!(unplaced(&[None, None], &guests), left(4, 16));
        assert_eq!(unplaced(&[], &[anywhere(0)]), left(1, 0), "nobody runs nowhere");
        assert_eq!(unplaced(&[Some(1)], &[]), left(0, 0));
    }

    #[test]
    fn who_has_little_choice_chooses_first() {
        let guests = [anywhere(4), only(2, &[0])];
        assert_eq!(unplaced(&[Some(4), Some(4)], &guests), left(0, 0));
        let guests = [only(1, &[]), only(1, &[7]), only(1, &[1])];
        assert_eq!(unplaced(&[Some(9), None], &guests), left(3, 3));
    }

    fn guest() -> impl Strategy<Value = Homeless> {
        (1..20_u64, prop::option::of(vec(0..6_usize, 0..4))).prop_map(|(memory, places)| Homeless {
            memory,
            places: places.map(Into::into),
        })
    }

    fn nodes() -> impl Strategy<Value = Vec<Option<u64>>> {
        vec(prop::option::weighted(0.8, 0..60_u64), 0..6)
    }

    proptest! {
        #[test]
        fn everything_fits_where_one_node_could_take_it_all(guests in vec((1..20_u64).prop_map(anywhere), 0..12), mut free in nodes()) {
            free.push(Some(guests.iter().map(|guest| guest.memory).sum()));
            prop_assert_eq!(unplaced(&free, &guests), Unplaced::default());
        }

        #[test]
        fn nobody_gets_memory_that_is_not_there(guests in vec(guest(), 0..12), free in nodes()) {
            let result = unplaced(&free, &guests);
            let wanted: u64 = guests.iter().map(|guest| guest.memory).sum();
            prop_assert!(wanted - result.memory <= free.iter().flatten().sum());
            prop_assert!(result.guests <= guests.len() as u64);
            let homeless = guests.iter().filter(|guest| {
                let reachable = |place: usize| free.get(place).copied().flatten() >= Some(guest.memory);
                !guest.places.as_ref().map_or_else(|| (0..free.len()).any(reachable), |places| places.iter().any(|place| reachable(*place)))
            });
            prop_assert!(result.guests >= homeless.count() as u64, "who fits nowhere is never placed");
        }

        /// In general no first fit is monotonic; among guests that are alike it is.
        #[test]
        fn more_memory_never_leaves_more_guests_that_are_alike(number in 0..20_usize, memory in 1..20_u64, free in nodes(), more in vec(0..30_u64, 6)) {
            let guests = vec![anywhere(memory); number];
            let larger: Vec<_> = free.iter().zip(&more).map(|(free, more)| free.map(|free| free + more)).collect();
            prop_assert!(unplaced(&larger, &guests).guests <= unplaced(&free, &guests).guests);
        }

        #[test]
        fn a_larger_node_never_places_less(memories in vec(1..20_u64, 0..20), free in 0..200_u64, more in 0..50_u64) {
            let guests: Vec<_> = memories.into_iter().map(anywhere).collect();
            prop_assert!(unplaced(&[Some(free + more)], &guests).memory <= unplaced(&[Some(free)], &guests).memory);
        }
    }
}
